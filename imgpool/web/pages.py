"""The pages: server-rendered HTML that does its job without JavaScript."""

from __future__ import annotations

from pathlib import Path

from flask import (
    Blueprint,
    Response,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    send_file,
    session,
    url_for,
)
from werkzeug.wrappers import Response as BaseResponse

from imgpool.errors import Draining
from imgpool.imaging.formats import INPUT_FORMATS
from imgpool.imaging.samples import sample_images
from imgpool.web.api import accepted_json, admission, no_such_image
from imgpool.web.problems import CLOSE_CONNECTION, problem, problem_fields
from imgpool.web.receive import Received, receive
from imgpool.web.represent import image_json
from imgpool.web.sight import delete_visible, page_arguments, page_of_images, service, told_status, visible
from imgpool.web.visitors import Visitors, visitor

pages = Blueprint("pages", __name__)

SIGN_IN_BYTES = 64 * 1024


@pages.get("/")
def upload_page() -> str:
    """The upload form."""
    settings = service().settings
    try:
        status = told_status()
    except Draining:
        status = None
    return render_template(
        "upload.html",
        max_upload_bytes=settings.max_upload_bytes,
        max_files=settings.max_files,
        formats=[each.label for each in INPUT_FORMATS],
        accept=",".join(each.mime for each in INPUT_FORMATS),
        samples=_sample_addresses(),
        status=status,
    )


@pages.get("/samples/<name>")
def sample(name: str) -> Response:
    """A sample picture, for a first visit without photos at hand."""
    found = next((path for path in _samples() if path.name == name), None)
    if found is None:
        return problem(404, "No such sample", "There is no sample image of this name.")
    return send_file(found, max_age=3600)


def _sample_addresses() -> list[str]:
    return [url_for("pages.sample", name=path.name) for path in _samples()]


def _samples() -> tuple[Path, ...]:
    try:
        return sample_images()
    except FileNotFoundError:
        return ()


@pages.post("/upload")
def upload() -> BaseResponse:
    """The form's target: on to the status page, or a page that says what was refused and why."""
    received = receive(service(), admission(), request, visitor().owner)
    return refused_page(received) if received.refused else redirect(url_for("pages.status_page"), 303)


def refused_page(received: Received) -> Response:
    """What was refused of a form, and why."""
    waits = [refusal.retry_after_s for _, refusal in received.refused if refusal.retry_after_s is not None]
    response = make_response(
        render_template(
            "refused.html",
            accepted=accepted_json(received),
            refused=[{"name": name, **problem_fields(refusal)} for name, refusal in received.refused],
            retry_after_s=max(waits, default=None),
        )
    )
    response.status_code = 200 if received.accepted else received.refused[0][1].status
    request.environ[CLOSE_CONNECTION] = True
    if waits:
        response.headers["Retry-After"] = str(max(waits))
    return response


@pages.get("/status")
def status_page() -> str | Response:
    """The pool at a glance, and the images, newest first."""
    try:
        state, limit, before = page_arguments()
    except ValueError as error:
        return problem(400, "Bad query", str(error))
    images, following = page_of_images(state, limit, before)
    return render_template(
        "status.html",
        status=told_status(),
        samples=service().samples(0),
        sample_pictures=_sample_addresses(),
        images=images,
        next=following,
        state=state,
    )


@pages.get("/images/<image_id>")
def image_page(image_id: str) -> str | Response:
    """One image with its variants, or why it failed."""
    record = visible(image_id)
    return render_template("image.html", image=image_json(record)) if record else no_such_image()


@pages.post("/images/<image_id>/delete")
def delete_image(image_id: str) -> BaseResponse:
    """The delete button's target."""
    return redirect(url_for("pages.status_page"), 303) if delete_visible(image_id) else no_such_image()


@pages.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> BaseResponse | str:
    """Ask for a token; a right one is remembered in a signed cookie, not the token itself."""
    request.max_content_length = SIGN_IN_BYTES  # Flask's form parser would keep a large part in a temporary file
    target = _local_path(request.values.get("next", ""))
    if service().settings.token is None:
        return redirect(target, 303)
    if request.method != "POST":
        return render_template("sign_in.html", failed=False, next=target)
    visitors: Visitors = current_app.extensions["imgpool.visitors"]
    if not visitors.sign_in(request.form.get("token", ""), request.remote_addr, session):
        return make_response(render_template("sign_in.html", failed=True, next=target), 401)
    return redirect(target, 303)


@pages.post("/sign-out")
def sign_out() -> BaseResponse:
    """Forget the sign-in in this browser."""
    if service().settings.token is not None:  # without one there is no key, and no session that could be cleared
        session.clear()
    return redirect(url_for("pages.upload_page"), 303)


def _local_path(target: str) -> str:
    """A path on this server, never another site."""
    # Tabs and line ends vanish from URLs on their way: "/<tab>/evil.example" would become "//evil.example".
    safe = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if safe else url_for("pages.upload_page")
