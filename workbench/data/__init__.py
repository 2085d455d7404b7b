"""From the files of a dataset to a batch: annotations, images, views of them, and the order in which they are seen."""
