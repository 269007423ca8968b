"""What a superdataset says of itself to who opens it."""

from __future__ import annotations

from icfqueue.outputs.deposit import clone_url

_TEXT = """\
# {project}

Every deposited visit of the project `{project}` is a dataset of its own (a subdataset)
below this one. Each folder here is a visit: a link for its DICOM tarball and one for
every image in it. Nothing of it is here until you ask for it.

## Getting data

DataLad with its extension datalad-next and git-annex are needed:

    pip install datalad-next git-annex

Clone this dataset, if you have not. At the first clone DataLad asks for the store's user
name and password, and then for a name of your choice under which it keeps them:

    datalad clone '{url}' {project}
    cd {project}

Have the list of images of a visit, then the images themselves:

    datalad get -n VISIT
    datalad get VISIT/PATH

Give the room back that they take:

    datalad drop VISIT/PATH

## When there is more

New visits come with

    datalad update --how=ff-only

and, where you have visits here that were replaced, these too with

    datalad update -r --how=ff-only

Nothing here is changed by hand: it is written anew from the deposits at
<{store_url}/{project}/>.
"""


def readme(store_url: str, project: str) -> str:
    """Return the text of ``README.md``; the same for the same project."""
    url = clone_url(store_url, project)
    return _TEXT.format(project=project, store_url=store_url, url=url)
