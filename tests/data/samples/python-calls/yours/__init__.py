import json

import numpy


def again(text):
    frame = json.JSONDecoder()
    return numpy.linalg.norm(numpy.asarray(frame.decode(json.dumps(json.loads(text)))))


def frames(texts):
    reader = json.JSONDecoder()
    return [json.loads(reader.decode(text)) for text in texts]
