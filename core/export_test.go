package core

// SumOver is for tests with peers, which package coretest makes.
var SumOver = sumOver
