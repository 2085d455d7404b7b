"""What each kind of plugin provides: one small base class a kind, and the values that cross between them.

Letters in shapes: P images, R rows, G sets of images, N image tokens, M image tokens after the connector, T text
tokens, S sequence (text and, under scheme A, image tokens), Dv vision width (behind the connector that of its `shape`),
D text width, V vocabulary.

A **row** holds one image, or a set of several, and one or more questions about it, one after the other. Each
question with its answer is a *segment* 1, 2, ...; what they share (the beginning of the prompt with `<image>`) is
segment 0. A token sees segment 0 and the earlier tokens of its own segment, so all questions of an image are trained
in one pass without seeing each other.

An image has one **view**, or with tiles several; for encoder and connector each is an image of its own. A fusion gets
the tokens of all views of a set one after the other [G,M,Dv], each with as many tokens as `VisionShape` says.

In every factory, positional parameters come from the workbench and keyword-only parameters from the YAML.
"""
