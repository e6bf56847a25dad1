package Chatmaid::Test::Dns;

# A DNS server for tests, in a process of its own.
#
#   my $dns = dns_server(localhost => ['127.0.0.2', '::1']);
#   probe('redis://localhost', http => 'resolver ' . $dns->address . ' valid=1s;');
#   $dns->say(localhost => ['127.0.0.3']);      # or [], 'nxdomain', 'servfail', 'silence'
#   $dns->asked;                                # how many queries have come
#
# What has no name here does not exist.

use Mojo::Base 'Chatmaid::Test::Process', -signatures;
use Chatmaid::Test ();
use Chatmaid::Test::World qw(test_dir slurp spurt);
use Exporter ();
use IO::Socket::IP;
use Mojo::JSON qw(decode_json encode_json);
use Socket qw(AF_INET AF_INET6 inet_pton);

our @EXPORT = qw(dns_server);

has 'port';

sub import ($class) {
    no strict 'refs';
    *{caller() . '::dns_server'} = \&dns_server;
}

sub dns_server (%names) {
    state $serial = 0;
    my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0, Proto => 'udp') or die "no port: $@";
    my $self   = Chatmaid::Test::Dns->new(name => 'dns' . ($serial++ || ''), port => $socket->sockport);
    $self->say(%names);
    $self->runs(Chatmaid::Test::Process::forked(sub { $self->serve($socket) }));
    return $self;
}

sub address ($self) { '127.0.0.1:' . $self->port }
sub file ($self, $kind) { test_dir() . '/' . $self->name . ".$kind" }
sub asked ($self) { -s $self->file('asked') || 0 }

sub say ($self, %names) {
    $self->{names} = {%{$self->{names} // {}}, %names};
    spurt($self->file('new'), encode_json($self->{names}));
    rename $self->file('new'), $self->file('names');
}

sub serve ($self, $socket) {
    open my $asked, '>>', $self->file('asked') or die $!;
    $asked->autoflush;
    while (my $from = $socket->recv(my $query, 512)) {
        print $asked '.';
        my $answer = answer($query, decode_json(slurp($self->file('names'))));
        $socket->send($answer, 0, $from) if length $answer;
    }
}

# RFC 1035, 4.1: a header, the question as it came, and records that point to its
# name.

sub answer ($query, $names) {
    my ($id)    = unpack 'n', $query;
    my @labels  = unpack '(C/a)*', (substr $query, 12) =~ s/\0.{4}.*\z//sr;
    my $end     = 12 + length(join '', map { 'x' . $_ } @labels) + 1;
    my ($type)  = unpack 'n', substr $query, $end, 2;
    my $known   = $names->{join '.', @labels} // 'nxdomain';
    return '' if $known eq 'silence';

    my $code    = ref $known ? 0 : {nxdomain => 3, servfail => 2}->{$known};
    my $family  = {1 => AF_INET, 28 => AF_INET6}->{$type};
    my @records = grep { defined && length == ($type == 1 ? 4 : 16) }
        map { inet_pton($family, $_) } grep { $family && /:/ == ($type == 28) } ref $known ? @$known : ();

    return pack('n6', $id, 0x8180 | $code, 1, scalar @records, 0, 0) . substr($query, 12, $end + 4 - 12)
        . join '', map { pack 'n3 N n/a*', 0xc00c, $type, 1, 1, $_ } @records;
}

1;
