"""The cases of hostile-images, grouped as section 6 of the reliability notes numbers them."""

from . import containers, headers, large, legacy, order, prefixes, sizes, state, values


def cases(with_large):
    groups = [prefixes, headers, sizes, values, order, state, containers, legacy]
    for group in groups + ([large] if with_large else []):
        yield from group.cases()
