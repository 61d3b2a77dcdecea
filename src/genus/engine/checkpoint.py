"""Checkpoints: nested state as safetensors and JSON, written at once or not at all."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor

__all__ = [
    "pack",
    "read_json",
    "read_tensors",
    "unpack",
    "write_bytes",
    "write_json",
    "write_tensors",
]


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically: a reader sees the old content or the new, never a part.

    Raises:
        OSError: where it cannot be written; nothing is left behind.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically."""
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        ValueError: where the file is missing or no JSON; names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Writes tensors and metadata (plain data) atomically, with a digest of both."""
    seen: set[int] = set()
    ready: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        value = tensor.detach().to("cpu").contiguous()
        ready[name] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    text = json.dumps(metadata, sort_keys=True)
    header = {"genus": text, "sha256": _digest(ready, text)}
    write_bytes(path, bytes_from_tensors(ready, header))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`write_tensors` wrote.

    Raises:
        ValueError: where the file is missing, truncated or not what was written.
    """
    try:
        content = path.read_bytes()
        tensors = tensors_from_bytes(content)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged or truncated ({error}); restore it or train again"
        ) from error
    text = header.get("genus", "")
    if header.get("sha256") != _digest(tensors, text):
        raise ValueError(f"{path} does not match its digest: it was changed after it was written")
    return tensors, json.loads(text)


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def pack(tree: Any, tensors: dict[str, Tensor], prefix: str = "") -> Any:
    """Plain data for JSON; the tensors of the tree go into ``tensors``, named by their place."""
    if isinstance(tree, Tensor):
        tensors[prefix] = tree
        return {"$tensor": prefix}
    if isinstance(tree, dict):
        return {"$dict": [[k, pack(v, tensors, f"{prefix}.{k}")] for k, v in tree.items()]}
    if isinstance(tree, list | tuple):
        return [pack(value, tensors, f"{prefix}.{i}") for i, value in enumerate(tree)]
    return tree


def unpack(plain: Any, tensors: dict[str, Tensor]) -> Any:
    """Inverse of :func:`pack`."""
    if isinstance(plain, dict):
        if "$tensor" in plain:
            return tensors[plain["$tensor"]]
        return {key: unpack(value, tensors) for key, value in plain["$dict"]}
    if isinstance(plain, list):
        return [unpack(value, tensors) for value in plain]
    return plain
