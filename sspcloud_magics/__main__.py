"""Command line of the doctor: ``python -m sspcloud_magics doctor``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from sspcloud_magics.i18n import _


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the doctor, print its report, and return the exit code: 0, or 1 if a check fails.

    Parameters
    ----------
    arguments
        The arguments of the command line; those of ``sys.argv`` if None.
    """
    parser = argparse.ArgumentParser(
        prog="python -m sspcloud_magics", description=_("sspcloud_magics in a terminal")
    )
    doctor = parser.add_subparsers(dest="order", required=True).add_parser(
        "doctor", help=_("check the cluster and a target, and say how to fix each problem")
    )
    doctor.add_argument("target", nargs="?", help=_("a pod, a service or a database"))
    doctor.add_argument("-n", "--namespace", help=_("the target's namespace, instead of your own"))
    doctor.add_argument("--kubeconfig", metavar="FILE", help=_("a kubeconfig to use instead of the default"))
    doctor.add_argument("--context", metavar="NAME", help=_("a context of the kubeconfig"))
    doctor.add_argument("--json", action="store_true", help=_("print the report as JSON"))
    doctor.add_argument("--redacted", action="store_true", help=_("hide tokens and names of people"))
    given = parser.parse_args(arguments)
    # By name: importing this module must not import the whole session.
    session = import_module("sspcloud_magics.session")
    session.configure(session.ClusterChoice(kubeconfig=given.kubeconfig, context=given.context))
    try:
        report = session.doctor(given.target, namespace=given.namespace, redacted=given.redacted)
        sys.stdout.write(f"{report.to_json() if given.json else report}\n")
    except KeyboardInterrupt:
        return 130
    finally:
        session.close()
    return 0 if report.healthy else 1


if __name__ == "__main__":
    sys.exit(main())
