"""Payload stores: large arguments and results lie outside of the database, which has a reference to each.

`FilePayloads`      files in a folder that all processes share
`ObjectPayloads`    a bucket: S3 and what speaks like it, Google Cloud Storage, Azure
`PayloadStore`      what a store of your own must do: two methods, `store` and `retrieve`
`Payloads`          a store with its settings: threshold, compression, cipher
`Cipher`            what encrypts payloads

Promises: equal contents that are stored within a day are one object; what is read is verified; a reference is written
to the database only when its object is complete; an object is deleted only when no run uses it any more, and never
while the same contents may still be stored under its name.
"""

from segue.payloads.files import FilePayloads
from segue.payloads.keeping import Payloads
from segue.payloads.objects import ObjectPayloads
from segue.payloads.protocol import Cipher, DeletingStore, ListingStore, PayloadStore

__all__ = ["Cipher", "DeletingStore", "FilePayloads", "ListingStore", "ObjectPayloads", "PayloadStore", "Payloads"]
