"""Look whether this machine can run a study, say what the study will need, and what to do next.

`make doctor`, or `python -m histobench.tools.doctor --configfile config/demo.yaml`. The exit status is 1 when the study cannot run
as things are.
"""

import sys


def main() -> int:
    try:
        from histobench.tools import examination
    except ImportError as error:  # without its own packages the doctor can say but this
        print(f"problem   packages    {error}: this environment is not that of requirements.lock")
        print("\nThe study cannot run as things are. What to do next:\n  rm -f .venv/.requirements.lock && make doctor")
        return 1
    return examination.main(__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
