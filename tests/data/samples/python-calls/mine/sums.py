"""Two functions that call libraries, and one that calls its own project alone."""

import json

import numpy as np
from numpy.linalg import norm

from mine import other

from .other import help_me


def with_numpy(path):
    rows = json.load(path)
    help_me(other.thing(rows))
    return norm(np.asarray(rows))


def without_numpy(text):
    return json.dumps(json.loads(text))


def alone():
    return help_me()
