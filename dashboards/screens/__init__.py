"""The pages, one file each with `page()`; they show and ask, and leave the work to medunet.review."""
