"""S3 drivers based on obstore: blocking and asynchronous."""

from checkpoint_objectstore._async.obstore import AsyncObstoreObjects
from checkpoint_objectstore._sync.obstore import ObstoreObjects

__all__ = ["AsyncObstoreObjects", "ObstoreObjects"]
