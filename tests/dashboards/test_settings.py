from pathlib import Path

import pytest

from dashboards.settings import ServerSettings, is_loopback, streamlit_options
from medunet.errors import ConfigError


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "room.example"])
def test_a_room_without_a_login_stays_on_this_machine(host):
    with pytest.raises(ConfigError, match="--login"):
        ServerSettings(Path(), host=host)
    assert ServerSettings(Path(), host=host, single_user=False).host == host


@pytest.mark.parametrize(
    ("host", "is_it"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False)]
)
def test_loopback(host, is_it):
    assert is_loopback(host) == is_it


def test_host_names_that_requests_may_name():
    def of(**settings):
        return ServerSettings(Path(), single_user=False, **settings).hosts

    assert of() == {"127.0.0.1", "localhost", "::1"}
    assert of(host="10.0.0.1") == {"10.0.0.1"}
    assert of(host="0.0.0.0") == frozenset()
    assert of(host="0.0.0.0", names=("Room.Example",)) == {"room.example"}


def test_streamlit_knows_every_option_that_is_set():
    from streamlit import config

    config.get_option("server.port")  # reads the table
    assert set(streamlit_options(ServerSettings(Path()))) <= set(config._config_options_template)
