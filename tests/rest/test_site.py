"""The web client's files as a browser asks for them."""

import pytest

from chatd.core.settings import Media
from chatd.rest import site


@pytest.mark.parametrize("path", ["/", "/app.js", "/chatd.js", "/style.css", "/icon.svg"])
async def test_each_file_comes_with_its_type_and_is_asked_for_again(client, path):
    async with client.session.get(path) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        etag, body = response.headers["ETag"], await response.read()
    name = "index.html" if path == "/" else path[1:]
    assert body == (site.FILES / name).read_bytes()
    for known in (etag, f'"other", {etag}', etag.removeprefix("W/"), "*"):
        async with client.session.get(path, headers={"If-None-Match": known}) as again:
            assert (again.status, await again.read()) == (304, b"")
    async with client.session.get(path, headers={"If-None-Match": '"other"'}) as other:
        assert other.status == 200


async def test_a_browser_gets_them_packed_and_a_tool_as_they_are(client):
    plain = (site.FILES / "app.js").read_bytes()
    for asked, given in (("gzip, br", "gzip"), ("identity", None)):
        async with client.session.get("/app.js", headers={"Accept-Encoding": asked}) as response:
            assert response.headers.get("Content-Encoding") == given
            assert response.headers["Vary"] == "Accept-Encoding"
            assert await response.read() == plain
            size = int(response.headers["Content-Length"])
        assert (size < len(plain)) is (given is not None)


async def test_the_page_runs_no_script_but_its_own_and_stands_in_nobodys_frame(client):
    async with client.session.get("/") as response:
        policy = response.headers["Content-Security-Policy"]
    rules = policy.split("; ")
    for rule in ("default-src 'none'", "script-src 'self'", "worker-src 'self'", "frame-ancestors 'none'"):
        assert rule in rules
    assert "trusted-types chatd-worker" in rules
    assert "unsafe" not in policy


async def test_the_page_may_reach_the_object_store_that_is_configured():
    def policy(media: Media) -> str:
        return site._PAGE_POLICY.format(media="".join(f" {origin}" for origin in site._origins(media)))

    own = policy(Media(s3_bucket="pictures", s3_endpoint="https://minio.example:9000/"))
    assert "connect-src 'self' https://minio.example:9000 https://pictures.minio.example:9000;" in own
    assert "https://pictures.s3.eu-west-1.amazonaws.com" in policy(
        Media(s3_bucket="pictures", s3_region="eu-west-1")
    )
    assert "connect-src 'self';" in policy(Media())


async def test_every_site_may_import_the_reference_client(client):
    async with client.session.get("/chatd.js", headers={"Origin": "https://other.example"}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_only_files_meant_for_browsers_are_served(client):
    for path in ("/index.html", "/../rest/site.py", "/%2e%2e/boot.py", "/web/app.js"):
        status, *_ = await client("GET", path)
        assert status == 404
