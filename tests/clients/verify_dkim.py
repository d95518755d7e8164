"""Verifies the DKIM signatures of messages with dkimpy. No DNS: the records are given.

Arguments: a JSON file with the TXT records by name, then message files. Prints a JSON list for each message, one a line:
for each of its signatures, from the top, the algorithm and whether it verifies.
"""

import json
import re
import sys

import dkim

with open(sys.argv[1], encoding="utf-8") as file:
    records = json.load(file)


def lookup(name, timeout=5):
    """The record of a name, as dkimpy asks for it: with a dot at its end."""
    text = records.get(name.decode().rstrip("."))
    return None if text is None else text.encode()


for path in sys.argv[2:]:
    with open(path, "rb") as file:
        message = file.read()
    signatures = [value for name, value in dkim.rfc822_parse(message)[0] if name.lower() == b"dkim-signature"]
    verdicts = []
    for index, value in enumerate(signatures):
        algorithm = re.search(rb"a=([a-z0-9-]+)", value).group(1).decode()
        try:
            good = dkim.DKIM(message, minkey=2048).verify(idx=index, dnsfunc=lookup)
        except dkim.DKIMException as error:
            print(error, file=sys.stderr)
            good = False
        verdicts.append([algorithm, good])
    print(json.dumps(verdicts))
