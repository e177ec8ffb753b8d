"""A task, what becomes of it, and its execution: the part all engines share."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from medpipe.contracts.records import CaseRecord, CaseResult, Status
from medpipe.engine.boundary import DEVICE_LOST
from medpipe.engine.replies import Death, Reply
from medpipe.engine.workplace import Workplace
from medpipe.errors import ConfigError, MedpipeError

# what somebody else sends: a person, a service, the kernel for want of memory
_FROM_OUTSIDE: frozenset[int | None] = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_REJECTING = frozenset({"E_CODEC_PANIC"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A case to run: where the plan describes it, and what a record of its failure needs.

    Attributes
    ----------
    run : str
        Id of the run.
    shard, row : int
        Place of the case in the run's plan.
    case_key, volume_key, route, source_version : str
        As in :class:`medpipe.contracts.records.CaseRecord`.
    numeric_class : str
        Class the plan promises; a case never runs in another one of the CPU.
    projected_bytes : int
        Memory the plan expects.
    deadline_s : float
        Seconds by the clock.
    conditions, tries
        As in :class:`medpipe.contracts.records.CaseRecord`.
    attempt : int
        1, or 2 when it is tried again.
    is_alone : bool
        Whether it gets the memory of its whole host.
    fallback_class : str
        Class of the CPU that a case of a device may go to; empty if it may not.
    """

    run: str
    shard: int
    row: int
    case_key: str
    volume_key: str
    route: str
    source_version: str
    numeric_class: str
    projected_bytes: int
    deadline_s: float
    conditions: str = ""
    tries: int = 1
    attempt: int = 1
    is_alone: bool = False
    fallback_class: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What became of a task.

    Attributes
    ----------
    kind : {"finished", "stopped"}
        ``finished``: its result is durable. ``stopped``: the whole work cannot go on.
    run, shard, row, case_key
        The task.
    status : str
        ``done``, ``rejected`` or ``failed``; empty if stopped.
    code, stage : str
        As in the case's record.
    attempts : int
        0 if the case was refused before it ran.
    wall_s, cpu_s : float
        Seconds of the last attempt.
    peak_bytes : int
        Highest resident memory of the last attempt.
    error, message : str
        Class and text of the error that stops the work.
    """

    kind: Literal["finished", "stopped"]
    run: str
    shard: int
    row: int
    case_key: str
    status: str = ""
    code: str = ""
    stage: str = ""
    attempts: int = 1
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    error: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a workplace says about a task.

    Attributes
    ----------
    event : Event or None
        None if the task is to be tried again.
    again : Task or None
        The task for its next attempt.
    workplace : str
        Id of the workplace that keeps the result.
    number : int
        Number of the result among those of the workplace; it is durable once the workplace
        has sealed that many.
    sealed : int
        How many the workplace had sealed when it wrote this.
    """

    event: Event | None = None
    again: Task | None = None
    workplace: str = ""
    number: int = 0
    sealed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Receipt:
        """Return the receipt of :meth:`to_json`."""
        event, again = value["event"], value["again"]
        return cls(
            event=None if event is None else Event(**event),
            again=None if again is None else Task(**again),
            workplace=value["workplace"],
            number=value["number"],
            sealed=value["sealed"],
        )


def execute(task: Task, workplace: Workplace) -> Receipt:
    """Run a case and hand its result to the sink.

    Never raises because of the case: a death of the sandbox becomes a record of a failed
    case, or, where the death may not be the case's own doing, a receipt that asks for another
    attempt. A case that needs more memory than it may have is not run at all.
    """
    try:
        result = _result(task, workplace)
        if isinstance(result, Task):
            return Receipt(again=result)
        number = workplace.keep(result)
    except MedpipeError as error:
        return stopped(task, error)
    return Receipt(event=_finished(task, result.case), workplace=workplace.name, number=number, sealed=workplace.sealed)


def stopped(task: Task, error: MedpipeError) -> Receipt:
    """Return the receipt of an error that stops the work, the case not being done."""
    event = Event(
        kind="stopped",
        run=task.run,
        shard=task.shard,
        row=task.row,
        case_key=task.case_key,
        attempts=task.attempt,
        error=type(error).__name__,
        message=str(error),
    )
    return Receipt(event=event)


def _result(task: Task, workplace: Workplace) -> CaseResult | Task:
    caller = workplace.caller
    for wanted in (task.numeric_class, task.fallback_class):
        if wanted.startswith("cpu-") and wanted != caller.numeric_class:
            raise ConfigError(
                f"the plan asks for {wanted}, but this host computes as {caller.numeric_class}: "
                "plan again for this engine and host"
            )
    if not workplace.admits(task.projected_bytes):
        return CaseResult(case=_refused(task))
    limit_bytes = workplace.memory_limit(task.projected_bytes, is_alone=task.is_alone)
    outcome = caller.call(
        "case",
        {"shard": task.shard, "row": task.row},
        deadline_s=task.deadline_s,
        memory_bytes=limit_bytes,
        is_fresh=task.attempt > 1,
    )
    if isinstance(outcome, Reply):
        outcome.raise_if_stopping()
        if outcome.value is not None:
            result = CaseResult.from_json(outcome.value)
            return replace(result, case=_with_cost(result.case, task, outcome))
    if task.attempt == 1 and _may_be_innocent(task, outcome, workplace, limit_bytes):
        return replace(task, attempt=2, is_alone=outcome.code == "E_OOM")
    return CaseResult(case=_with_cost(_lost(task, outcome), task, outcome))


def _may_be_innocent(task: Task, outcome: Reply | Death, workplace: Workplace, limit_bytes: int | None) -> bool:
    """Tell whether something other than the case may have ended it.

    A crash in a process that had answered other calls may be theirs: a decoder that wrote
    beyond its buffer is found out when another case frees the memory. A lack of memory may be
    the neighbours', unless the process was killed for going over a limit that would be the
    same alone. A ``MemoryError`` tells nothing of the kind: where nobody watches the limit,
    what the process holds besides the case counts in its peak. A device that fails may have been
    brought to it by the case before, unless there is no other process to try the case in.
    """
    if outcome.code == DEVICE_LOST:
        return workplace.caller.is_renewed
    if outcome.code == "E_OOM":
        is_over = isinstance(outcome, Death) and limit_bytes is not None and outcome.peak_bytes > limit_bytes
        return not is_over or limit_bytes != workplace.memory_limit(task.projected_bytes, is_alone=True)
    if isinstance(outcome, Death) and outcome.code == "E_CRASH":
        return not outcome.is_first or outcome.signal in _FROM_OUTSIDE
    return False


def _refused(task: Task) -> CaseRecord:
    record = _lost(task, Death(code="E_MEMORY", stage="plan"))
    return replace(
        record,
        run=task.run,
        attempts=0,
        tries=task.tries,
        conditions=task.conditions,
        projected_bytes=task.projected_bytes,
    )


def _lost(task: Task, outcome: Reply | Death) -> CaseRecord:
    is_data = isinstance(outcome, Reply) and (outcome.error == "Rejected" or outcome.code in _REJECTING)
    status: Status = "rejected" if is_data and outcome.code != "E_INTERNAL" else "failed"
    return CaseRecord(
        case_key=task.case_key,
        volume_key=task.volume_key,
        route=task.route,
        status=status,
        stage=outcome.stage or "read",
        code=outcome.code,
        source_version=task.source_version,
        numeric_class=task.numeric_class,
    )


def _with_cost(case: CaseRecord, task: Task, outcome: Reply | Death) -> CaseRecord:
    return replace(
        case,
        run=task.run,
        attempts=task.attempt,
        tries=task.tries,
        conditions=task.conditions,
        wall_s=outcome.wall_s,
        cpu_s=outcome.cpu_s,
        peak_bytes=outcome.peak_bytes,
        projected_bytes=task.projected_bytes,
    )


def _finished(task: Task, case: CaseRecord) -> Event:
    return Event(
        kind="finished",
        run=task.run,
        shard=task.shard,
        row=task.row,
        case_key=case.case_key,
        status=case.status,
        code=case.code,
        stage=case.stage,
        attempts=case.attempts,
        wall_s=case.wall_s,
        cpu_s=case.cpu_s,
        peak_bytes=case.peak_bytes,
    )
