"""The adapter between the viewer's bundle and Streamlit's component registry."""

import pytest
from streamlit.testing.v1 import AppTest

import dashboards.viewer as adapter


def mounts(root):
    from dashboards import viewer

    viewer.register(root)
    viewer.viewer()(key="viewer", data={"case": "0123456789abcdef"}, on_decided_change=lambda: None)


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "viewer/dist"
    folder.mkdir(parents=True)
    (folder / "index-abc.js").write_text("export default function () {}", encoding="utf-8")
    (folder / "index-abc.css").write_text("canvas { width: 100% }", encoding="utf-8")
    (folder / "depth-def.js").write_text("export const chunk = 1", encoding="utf-8")
    return tmp_path


def test_a_bundle_is_mounted_from_its_folder(bundle):
    app = AppTest.from_function(mounts, kwargs={"root": bundle}, default_timeout=60).run()
    assert not app.exception
    mounted = app.main.children[0].proto
    assert mounted.component_name == "medunet.viewer"
    assert (mounted.js_source_path, mounted.css_source_path) == ("index-abc.js", "index-abc.css")


def test_without_a_bundle_the_page_says_so(tmp_path, bundle):
    assert adapter.is_built(bundle)
    assert not adapter.is_built(tmp_path / "elsewhere")


def test_a_second_script_file_of_that_name_is_refused(bundle):
    (bundle / "viewer/dist/index-old.js").write_text("", encoding="utf-8")
    app = AppTest.from_function(mounts, kwargs={"root": bundle}, default_timeout=60).run()
    assert app.exception
