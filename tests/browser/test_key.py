"""The captions page at a server that wants an API key."""

from pathlib import Path

import pytest

from streaming.config import AuthSettings
from tests.support.chromium import browsing, chromium
from tests.support.live import live_server

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="no Chromium is installed: apt-get install chromium"),
    pytest.mark.timeout(120),
]

KEY = "the-key-of-a-page"
CLIP = Path(__file__).parents[1] / "data" / "question.flac"
STATE = "document.getElementById('state').dataset.state"


@pytest.mark.parametrize(("address", "state"), [(f"/#key={KEY}", "idle"), ("/#key=another-key-of-nobody", "problem")])
async def test_the_key_stands_behind_the_address(tmp_path: Path, address: str, state: str) -> None:
    """It is never sent but in the handshake, so no server's log has it."""
    async with live_server(auth=AuthSettings(keys=(KEY,))) as live, browsing(tmp_path / "profile") as page:
        await page.call("Page.navigate", url=f"http://{live.host}{address}")
        await page.wait_for("document.readyState === 'complete' && document.getElementById('microphone')")
        await page.evaluate("document.getElementById('play').checked = false")
        await page.choose_file("#file", CLIP)
        done = "document.querySelector('#settled .utterance')" if state == "idle" else "true"
        await page.wait_for(f"{STATE} === '{state}' && {done}", timeout_s=60)
