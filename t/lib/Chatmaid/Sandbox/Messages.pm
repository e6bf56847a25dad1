package Chatmaid::Sandbox::Messages;

# What an account owns: phones, groups, inbound messages, and the messages sent
# with their lives.  Accounts are kept apart by name and environment, as a test
# key must never see a live message.
#
# Every change of a message's status is emitted as "status" ($message, $status):
# whoever signs and delivers webhooks subscribes to that.

use Mojo::Base 'Mojo::EventEmitter', -signatures;
use Digest::MD5 qw(md5_hex);
use Mojo::IOLoop;
use POSIX qw(strftime);
use Time::HiRes qw(time);

has dedup    => 1;
has schedule => sub { [] };      # [[ms after the send, status, errorCode?], …]
has all      => sub { [] };      # every message of every account, in order
has extra    => sub { {} };      # account name => {phones, groups, inbound}

my %STAMP = (sent => 'sentAt', delivered => 'deliveredAt', read => 'readAt',
             failed => 'failedAt');
my $serial = 0;


sub iso ($time = time) {
    return strftime('%Y-%m-%dT%H:%M:%S', gmtime $time)
        . sprintf '.%03dZ', ($time - int $time) * 1000;
}

sub clear ($self) {
    $self->all([])->{accounts} = {};
    return $self;
}


# --- Accounts ----------------------------------------------------------------

# An account comes into being with the first key that names it.  Phone ids
# differ between test and live for the same handset, so they are made from both.

sub account ($self, $name, $environment) {
    return $self->{accounts}{"$environment:$name"} //= do {
        my $extra  = $self->extra->{$name} // {};
        my $phones = $extra->{phones} // [
            {phoneNumber => '+15550100001', displayName => 'Front desk'},
            {phoneNumber => '+15550100002', connectionStatus => 'disconnected'},
        ];
        +{
            name        => $name,
            environment => $environment,
            phones      => [map { phone("$environment:$name", $_) } @$phones],
            groups      => $extra->{groups} // [{id => '120363000000000001@g.us',
                name => 'Night shift', isCommunityAnnounce => \0}],
            inbound     => [map { inbound($_) } @{$extra->{inbound} // [{}]}],
            by_id       => {},
            by_key      => {},
            messages    => [],
            requests    => {total => 0, failed => 0},
        };
    };
}

sub phone ($owner, $given) {
    my $since = '2026-07-25T16:00:00.000Z';
    my $up    = ($given->{connectionStatus} // 'connected') eq 'connected';
    return {
        id                 => substr(md5_hex("$owner $given->{phoneNumber}"), 0, 24),
        displayName        => undef,
        connectionStatus   => 'connected',
        lastConnectedAt    => $since,
        lastDisconnectedAt => $up ? undef : $since,
        createdAt          => '2026-07-01T09:00:00.000Z',
        updatedAt          => $since,
        %$given,
    };
}

sub inbound ($given) {
    my $now = iso();
    return {
        id   => 'inmsg_' . identifier(), from    => '+15550100099',
        to   => '+15550100001',          content => 'Thanks!',
        type => 'text',                  isGroup => \0,
        groupId => undef, receivedAt => $now, createdAt => $now, %$given,
    };
}

sub find_phone ($self, $account, $which) {
    my ($phone) = grep { $_->{id} eq $which || $_->{phoneNumber} eq $which }
        @{$account->{phones}};
    return $phone;
}


# --- Messages ----------------------------------------------------------------

sub identifier () { substr md5_hex($$, time, $serial++), 0, 12 }

# A known key gives the original message whatever the body says: Chatmaid does
# so, and the gateway's fingerprint exists because of it.

sub original ($self, $account, $key) {
    return undef unless $self->dedup && defined $key;
    return $account->{by_key}{$key};
}

sub create ($self, $account, $phone, $body) {
    my $now     = time;
    my $group   = $body->{to} =~ /\@g\.us\z/;
    my $message = {
        id          => 'msg_' . identifier(),
        from        => $phone->{phoneNumber},
        to          => $body->{to},
        isGroup     => $group ? \1 : \0,
        groupId     => $group ? $body->{to} : undef,
        content     => $body->{content},
        mediaUrls   => $body->{mediaUrls} // [],
        status      => 'pending',
        createdAt   => iso($now),
        sentAt      => undef, deliveredAt => undef, readAt       => undef,
        failedAt    => undef, errorCode   => undef, errorMessage => undef,
    };

    my $entry = {message => $message, account => $account, times => 0,
                 key => $body->{idempotencyKey}};
    push @{$self->all}, $entry;
    push @{$account->{messages}}, $entry;
    $account->{by_id}{$message->{id}} = $entry;
    $account->{by_key}{$entry->{key}} = $entry if defined $entry->{key};

    if ($account->{environment} eq 'test') { $self->move($entry, 'sent') }
    else                                   { $self->follow_schedule($entry, $now, @{$self->schedule}) }

    return $entry;
}

sub move ($self, $entry, $status, $code = undef) {
    my $message = $entry->{message};

    $message->{status} = $status;
    $message->{$STAMP{$status}} //= iso() if $STAMP{$status};
    if ($status eq 'failed') {
        $message->{errorCode}    = $code // 'INTERNAL_ERROR';
        $message->{errorMessage} = 'The message could not be delivered';
    }

    $self->emit(status => $message, $status);
}

# One timer after the other: those that are due together fire in any order.

sub follow_schedule ($self, $entry, $since = time, @steps) {
    my ($next, @rest) = @steps or return;
    my ($after, @to)  = @$next;
    my $left = $since + $after / 1000 - time;
    Mojo::IOLoop->timer($left > 0 ? $left : 0, sub {
        $self->move($entry, @to);
        $self->follow_schedule($entry, $since, @rest);
    });
}

# Moves one message (by id), or all there are, as a test's script says.

sub step ($self, $id, $status, $code) {
    my @entries = grep { !defined $id || $_->{message}{id} eq $id } @{$self->all};
    $self->move($_, $status, $code) for @entries;
    return scalar @entries;
}

# Cumulative, as the docs' numbers are: a read message was also sent.

sub usage ($self, $account) {
    my %n = map { $_ => 0 } qw(total pending sent delivered read failed);
    for my $message (map { $_->{message} } @{$account->{messages}}) {
        $n{total}++;
        $n{pending}++   if $message->{status} eq 'pending';
        $n{failed}++    if $message->{failedAt};
        $n{sent}++      if $message->{sentAt} && !$message->{failedAt};
        $n{delivered}++ if $message->{deliveredAt} || $message->{readAt};
        $n{read}++      if $message->{readAt};
    }
    return \%n;
}

1;
