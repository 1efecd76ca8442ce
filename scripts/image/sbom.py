"""What is in the image, as CycloneDX JSON: `python scripts/image/sbom.py TREE OUT.json`, TREE being the image's / as a folder.

Says only what lies in the tree: each Python distribution with its licence and the SHA-256 of the file it was installed from
(usr/share/oomward/installed.json), the interpreter, and Debian's packages that its libraries are from (var/lib/dpkg/status.d).
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

INTERPRETER = re.compile(r"python3\.\d+")


def distributions(tree: Path) -> Iterator[importlib.metadata.PathDistribution]:
    """Each Python distribution in the tree."""
    for info in sorted(tree.rglob("*.dist-info")):
        yield importlib.metadata.PathDistribution(info)


def python_component(distribution: importlib.metadata.PathDistribution, hashes: dict[str, str]) -> Component:
    """A distribution; oomward itself comes from no file, so it has no hash."""
    name, version = distribution.metadata["Name"], distribution.version
    digest = hashes.get(f"{normalized(name)}=={version}")
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        description=distribution.metadata.get("Summary"),
        purl=PackageURL("pypi", name=normalized(name), version=version),
        bom_ref=f"pypi/{normalized(name)}",
        licenses=licence(distribution.metadata),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else [],
        external_references=homepage(distribution.metadata),
    )


def licence(metadata: importlib.metadata.PackageMetadata) -> list[License]:
    """By PEP 639's expression, else by the old field, else by the classifiers."""
    said = metadata.get("License-Expression") or metadata.get("License") or ""
    if not said or "\n" in said or len(said) > 80:
        classifiers = [c for c in metadata.get_all("Classifier", []) if c.startswith("License ::")]
        said = classifiers[0].rpartition(" :: ")[2] if classifiers else ""
    return (
        [LicenseFactory().make_from_string(said, license_acknowledgement=LicenseAcknowledgement.DECLARED)]
        if said
        else []
    )


def homepage(metadata: importlib.metadata.PackageMetadata) -> list[ExternalReference]:
    """The project's own pages, where it names one."""
    pages = [metadata.get("Home-page") or ""] + [url.partition(", ")[2] for url in metadata.get_all("Project-URL", [])]
    urls = [url for url in pages if url.startswith("https://")][:1]
    return [ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(url)) for url in urls]


def installed(tree: Path) -> dict[str, str]:
    """SHA-256 of what was installed, by name==version."""
    items = json.loads((tree / "usr/share/oomward/installed.json").read_text())
    return {f"{normalized(item['name'])}=={item['version']}": item["sha256"] for item in items}


def interpreter(tree: Path) -> Component:
    """CPython, by its own header's version. Raises SystemExit when there is none, or more than one."""
    found = sorted(path for path in tree.rglob("python3.*") if INTERPRETER.fullmatch(path.name) and path.is_file())
    if len(found) != 1:
        raise SystemExit(f"sbom.py: one interpreter was expected in {tree}, found {[str(path) for path in found]}")
    version = (tree / "usr/share/oomward/python-version").read_text().strip()
    return Component(
        type=ComponentType.PLATFORM,
        name="cpython",
        version=version,
        purl=PackageURL("generic", name="cpython", version=version),
        bom_ref="cpython",
        licenses=[LicenseFactory().make_from_string("PSF-2.0")],
        properties=[Property(name="path", value=f"/{found[0].relative_to(tree)}")],
    )


def debian_components(tree: Path) -> Iterator[Component]:
    """Packages whose libraries are in the tree."""
    for status in sorted((tree / "var/lib/dpkg/status.d").glob("*")):
        fields: Message = HeaderParser().parsestr(status.read_text())
        name, version = str(fields["Package"]), str(fields["Version"])
        yield Component(
            type=ComponentType.LIBRARY,
            name=name,
            version=version,
            purl=PackageURL("deb", "debian", name, version, {"arch": str(fields["Architecture"])}),
            bom_ref=f"deb/{name}",
        )


def normalized(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def bill(tree: Path) -> Bom:
    """Of the whole tree; oomward is what it is about."""
    hashes = installed(tree)
    parts = [python_component(distribution, hashes) for distribution in distributions(tree)]
    (ours,) = (part for part in parts if part.name == "oomward")
    bom = Bom(components=[part for part in parts if part is not ours] + [interpreter(tree), *debian_components(tree)])
    ours.type = ComponentType.APPLICATION
    bom.metadata.component = ours
    bom.register_dependency(ours, bom.components)
    return bom


def main(tree: Path, out: Path) -> None:
    """Write it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    bom = bill(tree)
    JsonV1Dot6(bom).output_to_file(str(out), allow_overwrite=True, indent=2)
    sys.stdout.write(f"{out}: {len(bom.components)} components\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
