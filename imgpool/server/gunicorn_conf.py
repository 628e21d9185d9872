"""Settings for a gunicorn that is started by hand: `gunicorn -c python:imgpool.server.gunicorn_conf
'imgpool.web:create_app()'`. imgpool's own settings come from the environment and its file, as always.
"""

from imgpool.config import load as _load
from imgpool.server.application import gunicorn_options as _gunicorn_options

globals().update(_gunicorn_options(_load()))
