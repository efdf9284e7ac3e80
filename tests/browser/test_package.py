"""The SDK as a package: typed, complete, usable without this project. `make test-browser` brings its tools."""

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "clients" / "web"
TOOLS = ROOT / ".venv" / "web" / "node_modules" / ".bin"

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        not (TOOLS / "tsc").exists() or shutil.which("npm") is None,
        reason="TypeScript and npm are not installed: make test-browser installs them",
    ),
]


def run(*command: str, folder: Path) -> str:
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody else's project with the package as npm packs it."""
    source = tmp_path_factory.mktemp("web") / "web"
    shutil.copytree(WEB, source)
    run("npm", "pack", "--silent", folder=source)
    project = tmp_path_factory.mktemp("user")
    place = project / "node_modules" / "@tympan"
    place.mkdir(parents=True)
    with tarfile.open(next(source.glob("*.tgz"))) as packed:
        packed.extractall(place, filter="data")
    (place / "package").rename(place / "web")
    (project / "package.json").write_text('{"type": "module"}')
    return project


def test_all_modules_are_typed() -> None:
    assert run("tsc", "-p", ".", folder=WEB) == ""


def test_the_package_has_the_sdk_and_its_types_and_nothing_else(user: Path) -> None:
    package = user / "node_modules" / "@tympan" / "web"
    names = {file.relative_to(package).as_posix() for file in package.rglob("*") if file.is_file()}
    modules = {f"sdk/{file.name}" for file in (WEB / "sdk").iterdir()}
    types = {f"types/{Path(name).stem}.d.ts" for name in modules if name.endswith(".js")}
    assert names == {"package.json", "README.md", *modules, *types}
    exports = json.loads((package / "package.json").read_text())["exports"]
    for entry in (exports["."], exports["./captions"]):
        assert {entry["types"].removeprefix("./"), entry["default"].removeprefix("./")} <= names


def test_it_is_imported_by_its_name(user: Path) -> None:
    """Also where there is no page: what needs one is used later, or apart."""
    script = """
        import { TympanClient, Transcript, srt } from "@tympan/web";
        const transcript = new Transcript();
        const word = { id: 1, text: "Hello.", start_ms: 0, end_ms: 900, confidence: 1, state: "final" };
        const message = { type: "transcript", utterance: 1, channel: 0, revision: 1, from_word: 0, words: [word] };
        transcript.apply({ ...message, final: true });
        console.log(new TympanClient({ server: "http://localhost" }).state, JSON.stringify(srt(transcript.finals)));
    """
    said = run("node", "--input-type=module", "--eval", script, folder=user)
    assert said == 'idle "1\\n00:00:00,000 --> 00:00:00,900\\nHello.\\n"\n'


def test_who_uses_it_is_told_of_wrong_types(user: Path) -> None:
    (user / "page.ts").write_text("""
        import { MicrophoneSource, TympanClient, TympanError } from "@tympan/web";
        import type { TympanCaptions } from "@tympan/web/captions";

        const captions = document.querySelector("tympan-captions") as TympanCaptions;
        const microphone = new MicrophoneSource({ echoCancellation: false });
        const server = "https://captions.example";
        const client = new TympanClient({ server, token: async () => "key", onOverflow: "drop" });
        captions.follow(client);
        await microphone.open();
        const ready = await client.connect(microphone.format, { interim: "stable" });
        const session: string = ready.session;
        microphone.start((samples) => client.send(samples));
        const ended = (event: CustomEvent<{ error: TympanError | null }>) => event.detail.error?.code;
        client.addEventListener("end", ended as EventListener);
        // @ts-expect-error
        await client.connect({ sampleRate: "16000" });
        // @ts-expect-error
        new TympanClient({ onOverflow: "explode" });
        // @ts-expect-error
        const wrong: number = client.session;
    """)
    options = {"noEmit": True, "strict": True, "target": "es2022", "module": "nodenext", "types": []}
    (user / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["page.ts"]}))
    assert run("tsc", "-p", ".", folder=user) == ""
