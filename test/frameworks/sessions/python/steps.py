"""How a session tells its steps: one line of JSON for each, with the answer or the error."""
import datetime
import decimal
import json
import sys
import uuid


def plain(value):
    """A value as JSON can say it, the same for the same value and different for different types where that matters."""
    if isinstance(value, dict):
        return {str(key): plain(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(one) for one in value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, decimal.Decimal, uuid.UUID, datetime.timedelta)):
        return str(value)
    if hasattr(value, "_mapping"):
        return plain(tuple(value))
    if hasattr(value, "__iter__"):
        return [plain(one) for one in value]
    return str(value)


def tell(name, answer=None, error=None, **more):
    line = dict(step=name, **more)
    if error is not None:
        line["error"] = error
    else:
        line["answer"] = answer
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def step(name, call, recover=None, **more):
    """Runs a step. masked= is the answer to expect through the proxy where it does not follow from the direct one; refused= says why
    the proxy must refuse it."""
    try:
        answer = plain(call())
    except Exception as error:  # every error is an answer: the proxy must give the same
        cause = getattr(error, "__cause__", None) or getattr(error, "orig", None) or error
        tell(name, error="%s %s: %s" % (type(error).__name__, getattr(cause, "pgcode", None) or getattr(cause, "sqlstate", None) or "", error), **more)
        if recover is not None:
            recover()
        return
    tell(name, answer, **more)
