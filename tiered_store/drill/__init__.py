"""
What users would see if a part of their own topology failed, found out beforehand.
"""
