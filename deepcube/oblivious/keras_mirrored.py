"""Keras 3 under TensorFlow's MultiWorkerMirroredStrategy: two corrections.

As released (Keras 3.15), ``fit`` fails there: https://github.com/keras-team/keras/issues/20585. The symbolic build is
given a batch of all replicas where it expects one of this worker, and losses of replicas are concatenated where they
are scalars. A test fails as soon as a released Keras does without.
"""

from typing import Any


def patch_trainer() -> None:
    """Correct Keras' TensorFlow trainer in this process."""
    import tensorflow as tf
    from keras.src import tree
    from keras.src.backend.tensorflow import trainer

    def symbolic_build(self: Any, iterator: Any = None, data_batch: Any = None) -> None:
        if self._distribute_strategy is None:
            return
        strategy = self.distribute_strategy
        if iterator is not None:
            for _, _, batches in iterator:
                data_batch = tf.nest.map_structure(
                    lambda each: strategy.experimental_local_results(each)[0], next(batches)
                )
                break
        with strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    def reduce_per_replica(values: Any, strategy: Any, reduction: str) -> Any:
        if strategy.num_replicas_in_sync == 1:
            return values

        def reduce(value: Any) -> Any:
            if reduction in ("auto", "mean", "sum"):
                return strategy.reduce("SUM" if reduction == "sum" else "MEAN", value, axis=None)
            local = strategy.experimental_local_results(value)
            return local[0] if reduction == "first" else tf.concat(local, 0)

        return tree.map_structure(reduce, values)

    trainer.TensorFlowTrainer._maybe_symbolic_build = symbolic_build
    trainer.reduce_per_replica = reduce_per_replica
