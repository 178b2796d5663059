"""The viewer as a Streamlit component: the one place that knows how components are registered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2.get_bidi_component_manager import get_bidi_component_manager
from streamlit.components.v2.manifest_scanner import ComponentConfig, ComponentManifest

import medunet

NAME = "medunet.viewer"
ASSETS = "viewer/dist"


def is_built(root: Path | None = None) -> bool:
    """Tell whether the viewer's bundle lies in the folder that is served."""
    return any(((root or Path(__file__).parent) / ASSETS).glob("index*.js"))


def register(root: Path | None = None) -> None:
    """Make the files of `viewer/dist` known to the running Streamlit; again: nothing new.

    Streamlit finds components by a manifest inside an installed package. Ours also runs from a clone, so the
    manifest is handed over here.
    """
    manager = get_bidi_component_manager()
    if manager.get_component_path(NAME) is None:
        manifest = ComponentManifest("medunet", medunet.__version__, [ComponentConfig("viewer", ASSETS)])
        manager.register_from_manifest(manifest, package_root=root or Path(__file__).parent)


def viewer() -> Callable[..., Any]:
    """Return the mounting command of the viewer; `register` comes first."""
    register()
    return st.components.v2.component(NAME, js="index*.js", css="*.css")
