"""What a service stands on, by its settings: this machine alone, or what many machines share."""

from __future__ import annotations

from imgpool.config import Settings
from imgpool.errors import SettingError
from imgpool.service import Service


def make_service(settings: Settings) -> Service:
    """A service that is not opened yet. Raises `SettingError`, also when the extra for many machines is missing."""
    if not settings.scaled_out:
        return Service(settings)
    try:
        from imgpool.scaleout.backend import ScaledOut
    except ModuleNotFoundError as error:
        raise SettingError(
            f"--broker: not allowed while {error.name} is missing: pip install 'imgpool[scaleout]'"
        ) from None
    return Service(settings, backend=ScaledOut(settings))
