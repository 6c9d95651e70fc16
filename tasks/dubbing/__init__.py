"""One dub in three kinds of work, each left on disk as it is done, so that any worker can go on where another stopped.

look: one pass over the picture, numbers only (`looking`); render: stretches of a face through the model (`rendering`);
finish: the stretches pasted into the frames, the file written, measured, judged (`finishing`). `queue` deals the work
of a library out to workers.
"""
