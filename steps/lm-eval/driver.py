"""Imports lm_eval once and then runs its command line as often as asked.

Importing takes seconds, so this is started while the engines start. Usage: driver.py SOCKET, a Unix
socket that lmcache-ci listens on. Each line received is a job {"argv": [...], "log": path}; the answer
is {"exit_code": n}. Every job runs in a fork of its own, so none can see another's state. The end of
the connection is the end of this process.

lm_eval reads the YAML of all its ten thousand tasks at every start, which takes longer than the rest.
Only the folder given by --include_path, or else the one named as the task, is read here.
"""

import functools
import json
import os
import socket
import sys
import traceback


def import_everything():
    # What a run imports lazily is imported here, or each fork would pay for it.
    import datasets  # noqa: F401
    import lm_eval.api.task  # noqa: F401
    import lm_eval.evaluator  # noqa: F401
    import lm_eval.loggers  # noqa: F401
    import lm_eval.models.openai_completions  # noqa: F401
    import lm_eval.tasks
    from lm_eval.__main__ import cli_evaluate

    lm_eval.tasks.TaskManager = functools.partial(lm_eval.tasks.TaskManager, include_defaults=False)
    return cli_evaluate, os.path.dirname(lm_eval.tasks.__file__)


def with_task_folder(argv, tasks_folder):
    if "--include_path" in argv:
        return argv
    return [*argv, "--include_path", os.path.join(tasks_folder, argv[argv.index("--tasks") + 1])]


def run_job(cli_evaluate, argv, log_path):
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    exit_code = 1
    try:
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["lm_eval", *argv]
        cli_evaluate()
        exit_code = 0
    except SystemExit as error:
        exit_code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)


def main():
    cli_evaluate, tasks_folder = import_everything()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(sys.argv[1])
    lines = connection.makefile("rw", encoding="utf-8")
    print(json.dumps({"ready": True}), file=lines, flush=True)
    for line in lines:
        job = json.loads(line)
        exit_code = run_job(cli_evaluate, with_task_folder(job["argv"], tasks_folder), job["log"])
        print(json.dumps({"exit_code": exit_code}), file=lines, flush=True)
    # Taking all of the imported libraries apart would take seconds, and there is nothing left to save.
    os._exit(0)


main()
