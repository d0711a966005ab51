"""Download the archive of a dataset from --url or, when that fails, from one of --mirrors.

Without --sha256 the hash of the first download counts, which is kept beside the archive, once that is known to be whole.
"""

from histobench.io.errors import run_script
from histobench.study import arguments


def main() -> None:
    given = arguments.parse(__doc__, "output", url=str, mirrors=[], sha256="", licence="", citation="")

    from histobench.datasets.archives import require_whole
    from histobench.fetch.http import fetch, show_terms

    output = given.output
    if fetch(given.url, output, given.sha256, given.mirrors, require_whole):
        show_terms(output, given.licence, given.citation)
    print(f"{output}: {output.stat().st_size} bytes, verified")


if __name__ == "__main__":
    run_script(main)
