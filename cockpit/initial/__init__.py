"""`cockpit init`: a config from a few answers and a first look at both servers."""
