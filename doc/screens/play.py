"""Plays a scene in tmux and writes down what its terminal shows, for render.py.

    play.py SOCKET COLUMNS ROWS COMMAND STEP... > FRAMES

Steps: `type TEXT` and Enter, `key NAME`, `until REGEX` on the screen, `prompt` for the next prompt, `wait SECONDS`.
"""

import json
import re
import subprocess
import sys
import time

socket, columns, rows, command, *steps = sys.argv[1:]
BEGUN = time.monotonic()
LONGEST = 180
EVERY = 0.4


def tmux(*words):
    return subprocess.run(["tmux", "-L", socket, *words], check=True, capture_output=True, text=True).stdout


def look():
    shown = tmux("capture-pane", "-e", "-p", "-t", "scene").split("\n")
    print(json.dumps({"at": round(time.monotonic() - BEGUN, 2), "rows": shown[: int(rows)]}), flush=True)
    return [re.sub(r"\x1b\[[0-9;]*m", "", row).rstrip() for row in shown]


def look_until(is_so, what):
    end = time.monotonic() + LONGEST
    while not is_so(look()):
        if time.monotonic() > end:
            sys.exit(f"play: {what}: not so after {LONGEST} s:\n" + "\n".join(look()))
        time.sleep(EVERY)


def has_prompt(shown):
    left = [row for row in shown if row]
    return bool(left) and left[-1] == "$"


def typed(text):
    for character in text:
        tmux("send-keys", "-t", "scene", "-l", character)
        time.sleep(0.04)
    look()
    tmux("send-keys", "-t", "scene", "Enter")
    time.sleep(EVERY)


tmux("-f", "/dev/null", "new-session", "-d", "-s", "scene", "-x", columns, "-y", rows, command)
try:
    tmux("set-option", "-t", "scene", "status", "off")
    look_until(has_prompt, "the first prompt")
    for step in steps:
        verb, _, rest = step.partition(" ")
        if verb == "type":
            typed(rest)
        elif verb == "key":
            tmux("send-keys", "-t", "scene", rest)
        elif verb == "until":
            look_until(lambda shown: re.search(rest, "\n".join(shown)), rest)
        elif verb == "prompt":
            look_until(has_prompt, "the prompt")
        elif verb == "wait":
            end = time.monotonic() + float(rest)
            look_until(lambda shown: time.monotonic() > end, rest)
        else:
            sys.exit(f"play: there is no step {verb}")
finally:
    subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True)
