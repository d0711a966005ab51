"""Draw sample images with scale bars: of the study's dataset (figure1), and of the external one (figure2)."""

from histobench.datasets import examples, manifest
from histobench.io.errors import run_script
from histobench.report.figures import samples, style
from histobench.report.terms import magnified, subtype
from histobench.study import arguments, resolved
from histobench.study.outputs import papers, sampled


def class_name(image: manifest.Image, dataset) -> str:
    kind = subtype(image.subtype, dataset)
    code = f" ({image.subtype})" if image.subtype != kind else ""
    return f"{image.label}\n{kind}{code}" if kind not in ("", image.label) else image.label


def main() -> None:
    given = arguments.parse(__doc__, "study", "output_prefix", several=["manifests", "sources"])
    study = resolved.load(given.study)
    for (figure, dataset), file, source in zip(sampled(study).items(), given.manifests, given.sources, strict=True):
        of = study.datasets[dataset]
        images = manifest.load(file)
        if papers(figure) == "figure1":
            rows = {class_name(row[0], of): row for row in examples.per_class(images, study.classes)}
        else:
            rows = {dataset: examples.per_group(images)}
        pixels = examples.fetch(source, [image for row in rows.values() for image in row])
        drawn: list[tuple[str, list[samples.Sample]]] = []
        for name, row in rows.items():
            drawn.append((name, []))
            for image in row:
                magnification = magnified(image.magnification)
                title = magnification if papers(figure) == "figure1" else image.subtype or image.label
                scale = of["microns_per_pixel"].get(str(image.magnification))
                drawn[-1][1].append(samples.Sample(title, pixels[image.image_id], scale))
        style.save(samples.samples(drawn, study.notes), given.output_prefix.with_name(figure))


if __name__ == "__main__":
    run_script(main)
