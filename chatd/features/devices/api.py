"""REST of devices."""

from chatd.core.context import Ctx
from chatd.core.declarations import Answer, Command, delete, get, post
from chatd.core.errors import Conflict, NotFound
from chatd.features.devices import service
from chatd.features.devices.contract import Device, DeviceId, Devices, RegisterDevice, WebPushKey


async def register(ctx: Ctx, body: RegisterDevice) -> Answer[Device]:
    """Push to this device while I have no socket; again at every start of the app, as tokens change."""
    device, new = await service.register(ctx, body)
    return Answer(device, 201 if new else 200)


async def devices(ctx: Ctx) -> Devices:
    """Where I am pushed to."""
    return await service.devices(ctx)


async def unregister(ctx: Ctx, device_id: DeviceId) -> None:
    """Push no more to a device of mine."""
    await service.unregister(ctx, device_id)


async def web_push_key(ctx: Ctx) -> WebPushKey:
    """What a browser subscribes with."""
    return service.web_push_key(ctx)


ROUTES = (
    post("/devices", register, status=(201, 200), limit="none", raises=(Conflict,)),
    get("/devices", devices),
    get("/devices/web-push-key", web_push_key, raises=(Conflict,)),
    delete("/devices/{device_id}", unregister, status=204, limit="none", raises=(NotFound,)),
)
COMMANDS: tuple[Command, ...] = ()
