"""The API under /api.  Every module here with `routes(state) -> APIRouter` is served; the folder is the registry."""
