"""Counters and times of a service, in the text format of Prometheus."""

from bisect import bisect_left
from threading import Lock

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the buckets, in seconds."""


class Meters:
    """Counts requests by path and status, and how long they took."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[tuple[str, int], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def add(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        with self._lock:
            self._counts[path, status] = self._counts.get((path, status), 0) + 1
            buckets = self._buckets.setdefault(path, [0] * (len(BOUNDS) + 1))
            buckets[bisect_left(BOUNDS, seconds)] += 1
            self._seconds[path] = self._seconds.get(path, 0.0) + seconds

    def text(self, loads: int, edges: int) -> str:
        """Return everything as text.

        Args:
            loads: How many models were loaded since the start.
            edges: Interactions that the model of now reads.
        """
        with self._lock:
            lines = ["# TYPE graphrec_requests_total counter"]
            for (path, status), count in sorted(self._counts.items()):
                labels = f'path="{path}",status="{status}"'
                lines.append(f"graphrec_requests_total{{{labels}}} {count}")
            lines.append("# TYPE graphrec_request_seconds histogram")
            for path, buckets in sorted(self._buckets.items()):
                total = 0
                for bound, count in zip((*map(str, BOUNDS), "+Inf"), buckets, strict=True):
                    total += count
                    labels = f'path="{path}",le="{bound}"'
                    lines.append(f"graphrec_request_seconds_bucket{{{labels}}} {total}")
                lines.append(
                    f'graphrec_request_seconds_sum{{path="{path}"}} {self._seconds[path]:.6f}'
                )
                lines.append(f'graphrec_request_seconds_count{{path="{path}"}} {total}')
        lines += [
            "# TYPE graphrec_model_loads_total counter",
            f"graphrec_model_loads_total {loads}",
        ]
        lines += ["# TYPE graphrec_interactions gauge", f"graphrec_interactions {edges}"]
        return "\n".join(lines) + "\n"
