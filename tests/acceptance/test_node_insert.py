"""Another language, another driver: a plain INSERT from Node's `pg`, in its own transaction."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pgqueue import JobState, PgQueue
from tests.fixtures.databases import Database

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")

SCRIPT = """
const { Client } = require("pg");

async function enqueue(client, end) {
  await client.query("BEGIN");
  await client.query("INSERT INTO orders VALUES (1)");
  const { rows } = await client.query(
    "INSERT INTO pgqueue.jobs (task, args, kwargs, priority, run_at) " +
    "VALUES ($1, $2, $3, $4, $5) RETURNING id",
    ["mail.send", JSON.stringify([42, "ünï😀"]), { html: true }, 3, new Date(Date.now() + 3600000)]
  );
  await client.query("INSERT INTO pgqueue.jobs (task) VALUES ('mail.plain')");
  await client.query(end);
  return rows[0].id;
}

async function refused(client) {
  try {
    await client.query(
      "INSERT INTO pgqueue.jobs (task, args) VALUES ($1, $2)", ["t", JSON.stringify("hunter2")]);
  } catch (error) {
    return { code: error.code, text: JSON.stringify(error) + error.message };
  }
}

(async () => {
  const client = new Client({ connectionString: process.env.DSN });
  await client.connect();
  const answer = {
    committed: await enqueue(client, "COMMIT"),
    rolledBack: await enqueue(client, "ROLLBACK"),
    refused: await refused(client),
  };
  await client.end();
  console.log(JSON.stringify(answer));
})();
"""


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Node's `pg` driver in it."""
    folder = tmp_path_factory.mktemp("node")
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "pg@8"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=110,
    )
    return folder


def test_a_plain_insert_from_node(node_folder: Path, db: Database, app: PgQueue) -> None:
    db.execute("CREATE TABLE orders (id integer)")
    answer = run(node_folder, db)
    job = app.get_job(int(answer["committed"]))
    assert (job.task, job.args, job.kwargs) == ("mail.send", (42, "ünï😀"), {"html": True})
    assert (job.priority, job.state) == (3, JobState.SCHEDULED)
    assert [found.task for found in app.jobs()] == ["mail.plain", "mail.send"]
    assert db.execute("SELECT count(*) FROM orders") == [(1,)]
    assert answer["refused"]["code"] == "PQ001"
    assert "args must be a JSON array; got string" in answer["refused"]["text"]
    assert "hunter2" not in answer["refused"]["text"]


def run(folder: Path, db: Database) -> dict[str, Any]:
    (folder / "insert.js").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [shutil.which("node") or "node", "insert.js"],
        cwd=folder,
        env={"DSN": db.tcp_dsn},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
