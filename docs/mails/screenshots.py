# /// script
# requires-python = ">=3.11"
# dependencies = ["pillow"]
# ///
"""Takes the pictures of this folder with chromium, of what `manage.py mails preview` prints: `make pictures`."""

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from PIL import Image, ImageChops

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TEMPLATES = ROOT / "notifications" / "templates" / "notifications"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--hide-scrollbars",
)
DARK = "--blink-settings=preferredColorScheme=0"
WIDTH, PHONE_WIDTH, HEIGHT = 600, 375, 900
COLOURS = 64
SECONDS = 60
SAMPLE = "password_reset"  # shown in the dark and on a phone too


def main() -> None:
    browser = next(filter(None, map(which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"None of {', '.join(BROWSERS)} is installed.")
    for language in sorted(path.name for path in TEMPLATES.iterdir() if path.is_dir()):
        (HERE / language).mkdir(exist_ok=True)
        for kind in sorted(path.parent.name for path in (TEMPLATES / language).glob("*/body.html")):
            for number, html in enumerate(forms(kind, language), start=1):
                name = kind if number == 1 else f"{kind}-{number}"
                take(browser, html, HERE / language / f"{name}.png")
        take(browser, forms(SAMPLE, language)[0], HERE / language / f"{SAMPLE}-dark.png", DARK)
        take(browser, forms(SAMPLE, language)[0], HERE / language / f"{SAMPLE}-phone.png", width=PHONE_WIDTH)


def forms(kind: str, language: str) -> list[str]:
    """Returns the HTML of a kind of email, once for each form that it has."""
    with TemporaryDirectory() as folder:
        ours = {"DATA_DIR": folder, "ENV_FILE": os.devnull, "PUBLIC_URL": "https://id.example.com"}
        printed = subprocess.run(
            [ROOT / ".venv/bin/python", "manage.py", "mails", "preview", kind, "--locale", language, "--html"],
            cwd=ROOT,
            env=os.environ | ours | {"EMAIL_FROM": "Example <no-reply@example.com>"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    return [f"<!doctype html>{form}" for form in re.split("<!doctype html>", printed, flags=re.IGNORECASE)[1:]]


def take(browser: str, html: str, path: Path, *options: str, width: int = WIDTH) -> None:
    with TemporaryDirectory() as folder:
        page, picture = Path(folder, "mail.html"), Path(folder, "mail.png")
        page.write_text(html)
        size = f"--window-size={width},{HEIGHT}"
        command = [browser, *OPTIONS, *options, size, f"--user-data-dir={folder}/profile", f"--screenshot={picture}"]
        subprocess.run([*command, page.as_uri()], check=True, capture_output=True, timeout=SECONDS)
        small(Image.open(picture).convert("RGB")).save(path, optimize=True)
    print(path.relative_to(ROOT), f"{path.stat().st_size // 1024} KiB")


def small(picture: Image.Image) -> Image.Image:
    """Without the empty ground below the mail, in as few colours as it needs."""
    ground = Image.new("RGB", picture.size, picture.getpixel((0, picture.height - 1)))
    _left, _top, _right, bottom = ImageChops.difference(picture, ground).getbbox() or (0, 0, *picture.size)
    return picture.crop((0, 0, picture.width, bottom + 24)).quantize(COLOURS, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
