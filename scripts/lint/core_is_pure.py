#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the core reads no clock, touches no world and starts no thread.

    core_is_pure.py --library libberth_core.a

Two looks: the symbols which the library needs from elsewhere (what it can do at all), and its
sources (names that inlining may hide from the symbols).
"""
import pathlib
import re
import shutil
import subprocess
import tempfile

import common

C_CALLS = """
    accept accept4 bind chdir clock clock_getres clock_gettime clock_nanosleep close
    connect creat dlopen dlsym epoll_ctl epoll_wait exec execl execv execve execvp execvpe _exit exit
    fclose fcntl fdopen fflush fgets fopen fopen64 fork fprintf fputc fputs fread freopen fscanf fseek
    fsync ftime ftruncate fwrite getc getchar getcwd getenv gethostname getline getpid getppid getrandom
    getrusage gettimeofday getuid ioctl kill listen localtime localtime_r lseek lseek64 mkdir
    mktime mmap mmap64 mprotect munmap nanosleep open open64 openat opendir perror pipe pipe2 poll popen
    posix_spawn posix_spawnp pread pread64 printf putc putchar puts pwrite pwrite64 raise rand rand_r
    random read readdir readlink readv recv recvfrom recvmsg remove rename rmdir sched_yield secure_getenv
    select send sendmsg sendto setenv setitimer setlocale sigaction signal sleep socket socketpair srand
    srandom stat statx stderr stdin stdout strftime syscall sysconf sysinfo system time
    timer_create timerfd_create times tmpfile umask uname unlink unsetenv usleep vfork vfprintf vprintf
    wait waitpid write writev __errno_location arc4random""".split()
# Start of the demangled name -> what it is.
CPP_NAMES = {
    r"std::chrono::(_V2::)?(system|steady|high_resolution)_clock": "a clock",
    r"std::this_thread|std::(j?thread|mutex|condition_variable|future|promise|__future_base|once_flag)":
        "a thread or a lock",
    r"pthread_|__gthread|std::__atomic_wait|std::_V2::condition_variable": "a thread or a lock",
    r"std::random_device|std::mersenne_twister|std::uniform_": "randomness of the machine",
    r"(vtable for )?std::(basic_)?[io]?f?stream|std::basic_filebuf|std::c(out|err|in|log)\b|"
    r"std::ios_base|std::__ostream_insert": "a stream",
    r"std::filesystem|std::experimental::filesystem": "the file system",
    r"std::locale": "the locale",
    r"fmt::v\d+::(vprint|print)|fmt::v\d+::detail::(vprint|print)": "printing",
    r"(boost|spdlog|sqlite3|toml)[:_]": "a library of the shell",
}
HEADERS = ["atomic", "condition_variable", "ctime", "filesystem", "fstream", "future", "iostream", "mutex",
           "ostream", "istream", "random", "semaphore", "shared_mutex", "stop_token", "thread", "unistd.h",
           "time.h", "cstdio", "cstdlib", "fmt/chrono.h", "fmt/printf.h", "unordered_map", "unordered_set"]
WORDS = [r"\b(steady|system|high_resolution)_clock\b", r"\bthread_local\b", r"\bgetenv\b", r"\brandom_device\b",
         r"\bfmt::print\b", r"\bstd::function\b", r"\bstd::thread\b"]


def judge(symbol):
    """Returns what is wrong with a needed symbol, or nothing."""
    name = re.sub(r"@.*", "", symbol)
    if name in C_CALLS or re.fullmatch(r"__(\w+)_chk", name) and name[2:-4] in C_CALLS:
        return "a call to the world"
    for pattern, what in CPP_NAMES.items():
        if re.match(pattern, name):
            return what
    return None


def check_library(library):
    done = subprocess.run(["nm", "-C", "--undefined-only", str(library)], capture_output=True, text=True)
    symbols = set(re.findall(r"^\s+[Uw] (.+)$", done.stdout, re.M))
    if done.returncode != 0 or not symbols:
        return [f"nm finds no symbols in {library.name}: {done.stderr.strip()}"]
    return [f"{library.name} needs {symbol}: {judge(symbol)}" for symbol in sorted(symbols) if judge(symbol)]


def check_sources(root):
    found = []
    for path in common.files(root, ["src/berth/core"]):
        if not path.endswith(common.CPP) or path.endswith("_test.cc"):
            continue
        text = common.read(root, path)
        found += [f"{path}:{line}: the core may not include <{header}>"
                  for line, header, _ in common.includes(text) if header in HEADERS]
        code = common.without_comments(text, keep_strings=False)
        found += [f"{path}:{common.line_of(code, match.start())}: the core may not use {match.group(0)}"
                  for word in WORDS for match in re.finditer(word, code)]
    return found


def check(root, arguments=None):
    library = arguments.library if arguments else None
    return check_sources(root) + (check_library(library) if library else [])


CASES = [
    ("a clock in the sources",
     {"src/berth/core/a.cc": "#include <chrono>\n// steady_clock\nauto t = std::chrono::steady_clock::now();\n"},
     ["src/berth/core/a.cc:3: the core may not use steady_clock"]),
    ("headers of the world",
     {"src/berth/core/a.h": "#include <mutex>\n#include <map>\n#include <unordered_map>\n",
      "src/berth/core/a_test.cc": "#include <iostream>\n", "src/berth/host/b.cc": "#include <thread>\n"},
     ["src/berth/core/a.h:1: the core may not include <mutex>",
      "src/berth/core/a.h:3: the core may not include <unordered_map>"]),
]
# Compiled for the self-test: one library that reads the world, one that computes.
SAMPLES = {
    "namespace std::chrono::_V2 { struct steady_clock { static long now(); }; }\n"
    'extern "C" long time(long*); extern "C" int getenv_of_ours(); int runtime();\n'
    "long f() { return time(nullptr) + std::chrono::_V2::steady_clock::now() + getenv_of_ours(); }\n":
        ["libx.a needs std::chrono::_V2::steady_clock::now(): a clock", "libx.a needs time: a call to the world"],
    "int other(int); int f(int x) { return other(x); }\n": [],
}


def self_test_library():
    failures = 0
    compiler = shutil.which("c++") or shutil.which("g++")
    for source, expected in SAMPLES.items():
        with tempfile.TemporaryDirectory(prefix="berth-lint-") as folder:
            common.write_tree(folder, {"x.cc": source})
            subprocess.run([compiler, "-std=c++20", "-c", "x.cc", "-o", "x.o"], cwd=folder, check=True)
            subprocess.run(["ar", "qc", "libx.a", "x.o"], cwd=folder, check=True)
            found = check_library(pathlib.Path(folder, "libx.a"))
        if found != expected:
            failures += 1
            print(f"expected: {expected}\nfound:    {found}")
    return failures


def more_arguments(parser):
    parser.add_argument("--library", type=pathlib.Path, help="libberth_core.a")


if __name__ == "__main__":
    common.main(check, CASES, more_arguments, self_test_library)
