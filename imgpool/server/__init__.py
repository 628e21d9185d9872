"""gunicorn embedded: one process of threads, its worker class, and the service's life in it."""
