"""A workspace arrives at W&B: at a server of this machine that speaks as much as is needed."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lnas.dashboard import build, planned, workspace_json

VIEWER = {"id": "1", "username": "someone", "entity": "team", "email": "", "flags": "{}",
          "admin": False, "teams": {"edges": []}, "apiKeys": {"edges": []}}  # fmt: skip


class Service(BaseHTTPRequestHandler):
    """Answers GraphQL, and keeps what the server is asked to store."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"viewer": VIEWER}
        if "upsertView" in asked["query"]:
            self.server.stored.append(asked["variables"])
            view = {"id": "stored", "name": asked["variables"]["name"]}
            answer = {"upsertView": {"view": view, "inserted": True}}
        text = json.dumps({"data": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as made:
        made.stored = []
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def test_the_command_publishes_what_was_planned_and_says_where(server, tmp_path):
    pytest.importorskip("wandb_workspaces")
    address = f"http://127.0.0.1:{server.server_port}"
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_MODE"}
    environment |= {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40, "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "lnas", "dashboard", "--entity=team", "--project=nas"]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (stored,) = server.stored
    assert (stored["entityName"], stored["projectName"]) == ("team", "nas")
    assert stored["displayName"] == "lnas"
    sections = json.loads(stored["spec"])["section"]["panelBankConfig"]["sections"]
    made = json.loads(workspace_json(build(planned(), "team", "nas")))
    expected = made["section"]["panelBankConfig"]["sections"]
    titles = [
        [(one["name"], [panel["config"]["chartTitle"] for panel in one["panels"]]) for one in found]
        for found in (sections, expected)
    ]
    assert titles[0] == titles[1]
    count, where = re.fullmatch(r"(\d+) panels in 7 sections: (\S+)\n", done.stdout).groups()
    assert int(count) == sum(len(panels) for _, panels in titles[0])
    assert where.startswith(f"{address}/team/nas?nw=")
