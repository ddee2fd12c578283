#!/usr/bin/env python3
"""Runs the README's five-minute tour as it stands: scripts/tour.py BINARY.

Every line that begins with "$ " in the tour's console blocks is run by bash in
an empty folder, in order. Span ids that the README prints as output are replaced,
in later commands, by those that the run printed in the same place. A command has
to succeed, unless the README shows that it says BAD or what is wrong. Each output line that the
README shows and that holds no ids, hashes, times or numbers has to appear.
DATABASE_URL and the like are passed on, so the tour also runs on PostgreSQL.
"""
import os, re, signal, subprocess, sys, tempfile, time, urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPAN = re.compile(r"(?:^span +|logline why )([0-9a-f-]{36})$", re.M)
FAILS = re.compile(r"^(BAD|logline): ", re.M)


def steps():
    """The tour as (command, output shown)."""
    text = open(f"{TOP}/README.md").read()
    tour = text.split("## Five-minute tour", 1)[1].split("\n## ", 1)[0]
    found = []
    for block in re.findall(r"```console\n(.*?)```", tour, re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command.strip(), shown))
    if len(found) < 5:
        sys.exit("tour: the README's tour was not found; the search in scripts/tour.py is broken")
    return found


def fixed(shown):
    """The output lines that every run prints alike."""
    lines = []
    for line in shown.splitlines():
        line = line.strip()
        if line and "…" not in line and not re.search(r"\d|logline-id|[A-Za-z0-9_-]{40}", line):
            lines.append(line)
    return lines


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as work:
        os.symlink(binary, f"{work}/logline")
        folder = f"{work}/empty"
        os.mkdir(folder)
        env = dict(os.environ, PATH=f"{work}:{os.environ['PATH']}", LOGLINE_CONFIG_DIR=f"{work}/config")
        ids, servers = {}, []
        try:
            for command, shown in steps():
                for old, new in ids.items():
                    command = command.replace(old, new)
                print("$", command, flush=True)
                if command.endswith("&"):
                    servers.append(subprocess.Popen(["bash", "-c", "exec " + command[:-1]], cwd=folder, env=env,
                                                    stdout=subprocess.DEVNULL, stderr=open(f"{work}/server.log", "w")))
                    wait_ready(servers[-1], f"{work}/server.log")
                    continue
                run = subprocess.run(["bash", "-c", command], cwd=folder, env=env, text=True, timeout=120,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                print(run.stdout, end="", flush=True)
                if (run.returncode != 0) != bool(FAILS.search(shown)):
                    sys.exit(f"tour: the command ended with {run.returncode}")
                missing = [line for line in fixed(shown) if line not in run.stdout]
                if missing:
                    sys.exit(f"tour: the README shows what this run did not print: {missing}")
                ids.update(zip(SPAN.findall(shown), SPAN.findall(run.stdout)))
        finally:
            for server in servers:
                server.send_signal(signal.SIGTERM)
                server.wait(30)
    print(f"tour: {len(steps())} commands, as the README has them")


def wait_ready(server, log):
    for _ in range(300):
        if server.poll() is not None:
            sys.exit(f"tour: the server ended with {server.returncode}:\n{open(log).read()}")
        try:
            if urllib.request.urlopen("http://127.0.0.1:8080/readyz").status == 200:
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("tour: the server was never ready")


main()
