"""A file system, user list and process list of its own for one server.

Run as `python3 jail.py SPEC.json PROGRAM ARG...`. SPEC is written by base.Peer:

    root    where the packages were unpacked
    new     an empty directory that becomes / (a tmpfs, seen by nobody outside)
    binds   [[outside, inside], ...] directories shared with the outside
    etc     {name: text} files of /etc
    egid    number: what a setgid program would get (packages are unpacked without their bits)
    pidns   true: the server and all it forks live in one PID namespace, and die with it

Three processes: this one (outside, forwards signals), the namespace's first process (reaps), and
the server. If this one dies, by whatever signal, the kernel ends the other two and all children.
Nothing is mounted, created or installed that anybody else on the machine can see.
"""
import ctypes
import json
import os
import signal
import sys
import sysconfig

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        err = ctypes.get_errno()
        raise OSError(err, f"{what}: {os.strerror(err)}")


def mount(source, target, fstype=None, flags=0, data=None):
    def enc(text):
        return text.encode() if text is not None else None
    check(libc.mount(enc(source), enc(target), enc(fstype), ctypes.c_ulong(flags), enc(data)),
          f"mount {source} on {target}")


def bind(source, target):
    """Share one directory or file, making the place for it."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "a").close()
    mount(source, target, None, MS_BIND | MS_REC)


def build_usr(spec, new):
    """/usr: the host's tools and libraries, the package's own programs beside them."""
    root, arch = spec["root"], sysconfig.get_config_var("MULTIARCH")
    bind("/usr/bin", f"{new}/usr/bin")
    own = f"{root}/usr"
    for part in ("sbin", "libexec"):
        if os.path.isdir(f"{own}/{part}"):
            bind(f"{own}/{part}", f"{new}/usr/{part}")
    if os.path.isdir(f"{own}/share"):
        bind(f"{own}/share", f"{new}/usr/share")
    for name in os.listdir(f"{own}/lib") if os.path.isdir(f"{own}/lib") else []:
        if name != arch and os.path.isdir(f"{own}/lib/{name}"):
            bind(f"{own}/lib/{name}", f"{new}/usr/lib/{name}")
    bind(f"/usr/lib/{arch}", f"{new}/usr/lib/{arch}")
    for name in os.listdir("/usr/lib"):
        if name.startswith("ld-linux"):
            bind(f"/usr/lib/{name}", f"{new}/usr/lib/{name}")
    if os.path.isdir("/usr/lib64"):
        bind("/usr/lib64", f"{new}/usr/lib64")
    extra = []
    for number, place in enumerate((f"{own}/lib/{arch}", f"{root}/lib/{arch}")):
        if os.path.isdir(place):
            bind(place, f"{new}/usr/lib/extra{number}")
            extra.append(f"/usr/lib/extra{number}")
    if not os.path.exists(f"{new}/usr/sbin/sendmail"):
        raise RuntimeError(f"no sendmail in {own}/sbin")
    return extra


def build(spec):
    new = spec["new"]
    mount("tmpfs", new, "tmpfs", 0, "mode=0755,size=64m")
    extra = build_usr(spec, new)
    for name in ("bin", "sbin", "lib", "lib64"):
        if name != "lib64" or os.path.isdir("/usr/lib64"):
            os.symlink(f"usr/{name}", f"{new}/{name}")
    os.makedirs(f"{new}/etc")
    for name, text in spec["etc"].items():
        os.makedirs(os.path.dirname(f"{new}/etc/{name}"), exist_ok=True)
        with open(f"{new}/etc/{name}", "w") as f:
            f.write(text)
    for name in ("ld.so.cache", "ssl", "localtime"):
        if os.path.exists(f"/etc/{name}"):
            bind(f"/etc/{name}", f"{new}/etc/{name}")
    for name in ("null", "zero", "full", "random", "urandom"):
        bind(f"/dev/{name}", f"{new}/dev/{name}")
    os.makedirs(f"{new}/tmp")
    os.chmod(f"{new}/tmp", 0o1777)
    os.makedirs(f"{new}/var/tmp")
    os.makedirs(f"{new}/run")
    os.symlink("/run", f"{new}/var/run")
    os.makedirs(f"{new}/proc")
    for outside, inside in spec["binds"]:
        bind(outside, new + inside)
    return extra


def enter(spec):
    extra = build(spec)
    new = spec["new"]
    try:
        mount("proc", f"{new}/proc", "proc")
    except OSError:             # a container may hide it: none of the servers needs it
        pass
    os.chroot(new)
    os.chdir("/")
    os.umask(0o022)
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", "TZ": "UTC", **spec.get("env", {})}
    if extra:
        env["LD_LIBRARY_PATH"] = ":".join(extra)
    return env


def forward(pid_of):
    def handler(signum, _frame):
        pid = pid_of()
        if pid:
            os.kill(pid, signum)
    for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(s, handler)


def reap_until(pid):
    """Collect children, also the orphans handed to us, until pid ends; its exit status."""
    while True:
        done, status = os.wait()
        if done == pid:
            return os.waitstatus_to_exitcode(status)


def first_process(spec, argv):
    child = []
    forward(lambda: child and child[0])
    env = enter(spec)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(s, signal.SIG_DFL)
        if spec.get("egid"):
            os.setresgid(0, spec["egid"], spec["egid"])
        os.execvpe(argv[0], argv, env)
    child.append(pid)
    code = reap_until(pid)
    return code if code >= 0 else 128 - code


def main():
    with open(sys.argv[1]) as f:
        spec = json.load(f)
    argv = sys.argv[2:]
    flags = CLONE_NEWNS | (CLONE_NEWPID if spec["pidns"] else 0)
    check(libc.unshare(flags), "unshare")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    pid = os.fork()
    if pid == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            code = first_process(spec, argv)
        except Exception as e:      # the caller must read why there is no server
            print(f"jail: {e}", file=sys.stderr, flush=True)
            code = 125
        os._exit(code)
    forward(lambda: pid)
    code = reap_until(pid)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
