"""What the adjoint of a preconditioner on a device consists of: a second copy of S."""

import dataclasses

__all__ = ["parts_of"]


def parts_of(parts):
    """Return the parts of the adjoint M.

    Parameters
    ----------
    parts : linop.Parts
        Of M.

    Returns
    -------
    linop.Parts
        With L and R in each other's place, and the conjugate polynomial.

    Raises
    ------
    ValueError
        If A is an operator that does not know its adjoint.
    """
    return dataclasses.replace(
        parts,
        stored=_stored(parts.stored),
        left=parts.right,
        right=parts.left,
        polynomial=parts.polynomial.conjugate(),
        is_adjoint=not parts.is_adjoint,
    )


def _stored(stored):
    """Return the conjugate transpose of what is stored, in the same kind of storage."""
    if stored.kind == "none":
        return stored
    if stored.kind == "operator":
        adjoint = getattr(stored.matrix, "H", None)
        if adjoint is None:
            raise ValueError(
                "rmatvec: A must know its adjoint, as .H; got "
                f"{type(stored.matrix).__name__}. Use a solver that needs none: gmres, cgs."
            )
        left, right = stored.right, stored.left
        return dataclasses.replace(stored, matrix=adjoint, left=left, right=right)
    if stored.kind == "dense":
        turned = stored.xp.ascontiguousarray(stored.matrix.conj().T)
        return dataclasses.replace(stored, matrix=turned, data=turned)
    if stored.kind == "dia":
        return _of_diagonals(stored)
    turned = stored.matrix.conj().T.tocsr()
    parts = {"data": turned.data, "indices": turned.indices}
    indptr = turned.indptr.astype(turned.indices.dtype)
    return dataclasses.replace(stored, matrix=turned, **parts, indptr=indptr)


def _of_diagonals(stored):
    """Move each diagonal to the other side of the main one."""
    data, n = stored.xp.zeros_like(stored.data), stored.n
    offsets = stored.offsets[::-1]
    for k, offset in enumerate(offsets.tolist()):
        first, last = max(0, -offset), n - max(0, offset)
        values = stored.data[offsets.size - 1 - k, first:last]
        data[k, first + offset : last + offset] = values.conj()
    return dataclasses.replace(stored, data=data, offsets=-offsets)
