"""later"""


class Project:
    pass
