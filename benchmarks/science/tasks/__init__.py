"""The tasks of the bench, as tensors: problems, answers and rewards of many runs at once."""

from benchmarks.science.tasks import countdown, first_move, quantum_lock, shortest_path
from benchmarks.science.tasks.task import END, Task, counted

TASKS: dict[str, Task] = {
    "countdown": countdown.PRODUCTS,
    "countdown-sums": countdown.SUMS,
    "first-move": first_move.TASK,
    "quantum-lock": quantum_lock.TASK,
    "shortest-path": shortest_path.TASK,
}
"""`countdown`: a rare operator pays. `countdown-sums`: no target needs it. `first-move`: only answers with a rare first
token solve a third of the problems. `quantum-lock` and `shortest-path` are reasoning-gym's."""

__all__ = ["END", "TASKS", "Task", "counted"]
