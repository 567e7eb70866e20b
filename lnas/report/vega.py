"""Vega, Vega-Lite and Vega-Embed for a page without network, as vl-convert brings them.

They draw curves as SVG, and read their expressions without `eval`. Their licence goes with them.
"""

from functools import cache

from lnas.errors import InputError

SNIPPET = "window.vegaEmbed = vegaEmbed;"


@cache
def plotting_library() -> str:
    """Return the JavaScript that defines `vegaEmbed`; the first call takes some seconds.

    Raises:
        InputError: vl-convert is not installed.
    """
    try:
        import vl_convert
    except ImportError:
        raise InputError(
            "lnas report draws its curves with Vega, which the package vl-convert-python brings "
            'along, and it is not installed; install it with: pip install "lnas[report]".'
        ) from None
    # Its declarations are kept out of the names of the page; nothing in it may end the element.
    code = str(vl_convert.javascript_bundle(SNIPPET)).replace("</script", "<\\/script")
    return f"(() => {{\n{code}\n}})();"
