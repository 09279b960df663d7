"""The screen, drawn with Textual."""

import os

# Textual paints what changed with its next frame. With its own sixty a second a key waits 8 ms more for its answer (measured), and no frame
# is drawn where nothing changed: 200 cost nothing. It is read once, when Textual is imported
# (https://textual.textualize.io/api/constants/#textual.constants.MAX_FPS).
os.environ.setdefault("TEXTUAL_FPS", "200")
