"""The real server on a real port: Streamlit's shell, our routes, one process."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from dashboards.server import MAIN, run
from dashboards.settings import ServerSettings
from medunet.errors import ConfigError

ROOT = Path(__file__).parents[2]
START = """
import sys
from pathlib import Path
from dashboards.server import run
from dashboards.settings import ServerSettings
settings = ServerSettings(Path(sys.argv[1]), port=0, single_user=sys.argv[2] == "single")
run(settings, lambda told: print(told, flush=True))
"""


@pytest.fixture(params=["single", "login"])
def server(request, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(tmp_path), request.param],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield request.param, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.url, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, url, error.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_one_process_serves_pages_and_routes(server):
    mode, address = server
    assert address.startswith("http://127.0.0.1:")
    status, _, body = get(f"{address}/api/v1/health")
    assert (status, json.loads(body)["ok"]) == (200, True)
    status, _, body = get(f"{address}/api/v1/me")
    status_of_page, url, page = get(f"{address}/", accept="text/html")
    assert status_of_page == 200
    if mode == "single":
        assert (status, json.loads(body)["role"]) == (200, "admin")
        assert "<title>Streamlit</title>" in page
    else:
        assert status == 401
        assert url == f"{address}/login"
    assert get(f"{address}/api/v1/health", host="evil.test")[0] == 421


def test_a_taken_port_is_told(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="--port"):
        run(ServerSettings(tmp_path, port=taken.getsockname()[1]))


def test_no_folder_pages_lies_beside_what_streamlit_runs():
    """It would take the files for pages, and show an empty one to who opens an address or loads it anew."""
    assert MAIN.is_file()
    assert not MAIN.with_name("pages").exists()
