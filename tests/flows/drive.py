"""Runs the archive flow in a process of its own and prints what Prefect knows of it.

``python -m tests.flows.drive JOB``: the job is JSON; the last line printed is JSON too. A
process of its own, since a flow's settings, server and numeric class are those of its process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import psutil

CANARY = "canary-3d9e of the header"


def main() -> None:
    job = json.loads(sys.argv[1])
    from medpipe.engine.numeric import restart_pinned

    restart_pinned()
    import flows.archive_run as module
    import medpipe.app.run
    import medpipe.plan.shards
    from medpipe.engine.spec import EngineSpec

    medpipe.plan.shards.LEAST_CASES = job["shard_cases"]
    EngineSpec.__init__.__kwdefaults__["seal_cases"] = job["seal_cases"]
    module.run_shard = module.run_shard.with_options(retry_delay_seconds=job["retry_s"])
    if job["fails"]:
        break_engine(medpipe.app.run, job["fails"])
    state = module.archive_run(**job["parameters"], return_state=True)
    print(json.dumps(told(state, failed=state.is_failed())))


def break_engine(module, times):
    """Let the engine fail at its first calls with an error whose text must be seen nowhere."""
    left = list(range(times))

    class Broken(module.RenewedEngine):
        def run(self, tasks, on_event):
            if left:
                left.pop()
                raise ValueError(CANARY)
            super().run(tasks, on_event)

    module.RenewedEngine = Broken


def told(state, *, failed):
    """Return what the server has of the flow run, its tasks, artifacts and log."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter, LogFilter
    from prefect.settings import get_current_settings

    run_id = state.state_details.flow_run_id
    mine = FlowRunFilter(id={"any_": [run_id]})
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
        tasks = ended_tasks(lambda: client.read_task_runs(flow_run_filter=mine))
        log = client.request("POST", "/logs/filter", json={"logs": log_of(LogFilter, run_id)}).json()
        artifacts = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id={"any_": [run_id]}))
        settings = client.request("GET", "/admin/settings").json()
    return {
        "state": state.type.value,
        "message": state.message,
        "result": None if failed else state.result(),
        "name": run.name,
        "parameters": run.parameters,
        "tasks": sorted([task.name, task.state.type.value, task.run_count] for task in tasks),
        "tables": [[artifact.key, json.loads(artifact.data)] for artifact in artifacts if artifact.type == "table"],
        "log": [line["message"] for line in log],
        "analytics": [settings["server"]["analytics_enabled"], get_current_settings().server.analytics_enabled],
        "listening": listening(),
        "stored": stored(Path(os.environ["PREFECT_HOME"])),
        "everything": json.dumps([one.model_dump(mode="json") for one in [run, *tasks, *artifacts]]),
    }


def log_of(log_filter, run_id):
    return log_filter(flow_run_id={"any_": [run_id]}).model_dump(mode="json", exclude_none=True)


def ended_tasks(read):
    # a task's last state reaches the server by way of its events, a little later
    end = time.monotonic() + 20
    while True:
        tasks = read()
        if all(task.state.is_final() for task in tasks) or time.monotonic() > end:
            return tasks
        time.sleep(0.2)


def listening():
    """Return the addresses this process and its children, the ephemeral server too, listen at."""
    me = psutil.Process()
    return sorted(
        {
            connection.laddr.ip
            for process in [me, *me.children(recursive=True)]
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
    )


def stored(home):
    """Return the files in which Prefect would keep results."""
    return [path.name for path in (home / "storage").rglob("*") if path.is_file()]


if __name__ == "__main__":
    main()
